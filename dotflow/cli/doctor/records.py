"""Tries a dotflow-api: makes a record, and takes it back."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from dotflow.cli.doctor import trying
from dotflow.cli.doctor.remedies import Place, advice
from dotflow.cli.doctor.trying import Result, Trial
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, Kind, Message, Refused, TryLater
from dotflow.otel.attributes import SPAN_DOCTOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dotflow.delivery.dialect import Destination
    from dotflow.delivery.message import Outcome

NAME = SPAN_DOCTOR
"""What the test record is called, and the test span."""


def trial(destination: Destination, variable: str, token: str) -> Trial:
    """How a dotflow-api is tried.

    Args:
        destination: The dotflow-api.
        variable: What names its address.
        token: What names the token.
    """
    place = Place(destination.url, variable, token)
    name = f"dotflow-api at {destination.url} ({destination.dialect.value})"
    return Trial(name, "records", lambda: _Visit(destination, place).result())


class _Visit:
    """One visit to a dotflow-api, within its time.

    Args:
        destination: The dotflow-api.
        place: Where it is, and what says so.
    """

    def __init__(self, destination: Destination, place: Place) -> None:
        self._ends = time.monotonic() + trying.SECONDS
        self._client = Client(destination)
        self._place = place
        self._id = str(uuid4())

    def result(self) -> Result:
        """Make a record, take it back, and say what came of it."""
        try:
            return replace(self._made_and_deleted(), date=self._client.date)
        finally:
            self._client.close()

    def _made_and_deleted(self) -> Result:
        body = {"id": self._id, "name": NAME, "status": "In progress"}
        made = self._send(Kind.WORKFLOW_POST, body)
        if not isinstance(made, Delivered):
            return self._failed(made)
        deleted = self._client.delete(self._id, self._left())
        if isinstance(deleted, Delivered):
            return Result("a test record was made, and deleted")
        if isinstance(deleted, TryLater):
            return self._failed(deleted, f"took a test record ({self._id}), but not its deletion: ")
        ended = self._send(Kind.WORKFLOW_PATCH, {"status": "Completed", "duration": 0.0})
        if not isinstance(ended, Delivered):
            return self._failed(ended, f"took a test record ({self._id}), but not its end: ")
        return Result(
            "a test record was made, and ended",
            note=f"it deletes no records: workflow {self._id} stays there, Completed, under the "
            f"name {NAME!r}",
        )

    def _send(self, kind: Kind, fields: Mapping[str, object]) -> Outcome:
        body = json.dumps(fields).encode()
        return self._client.send(
            Message(kind, self._id, None, body, 0, uuid4().hex), timeout=self._left()
        )

    def _left(self) -> float:
        """Seconds for the next call, which may take twice as many."""
        return max(0.001, (self._ends - time.monotonic()) / 2)

    def _failed(self, outcome: Outcome, before: str = "") -> Result:
        said = (
            outcome.reason if isinstance(outcome, (TryLater, Refused)) else "the body is too large"
        )
        return Result(problem=f"{before}{said}", remedy=advice(said, self._place))
