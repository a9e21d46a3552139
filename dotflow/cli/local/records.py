"""Keeps the records of a page in step with the run logs of this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from typing_extensions import Self

from dotflow.api import schemas
from dotflow.api.bulk import apply_all
from dotflow.api.database import open_engine
from dotflow.api.store import Store
from dotflow.cli.local.following import FollowedLog
from dotflow.delivery.http.bulk import body_of
from dotflow.history.logs import LocalLog, local_logs
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.delivery.message import Message

PATIENCE = 60.0
"""Seconds that a portion of the records may take to be written."""

BETWEEN_LOOKS = 1.0
"""Seconds that files may go unseen while much is read from others."""

TAKEN = 400
"""The statuses of what was taken are below this."""


class LocalRecords:
    """The records of all runs that the run logs of this machine tell of; one thread calls it.

    A context manager; on leaving it, the files and the connections are released.

    Args:
        database: The URL of the database where they are kept; nobody else writes there.
    """

    def __init__(self, database: str) -> None:
        self._store = Store(open_engine(database))
        self._followed: dict[str, FollowedLog] = {}
        self._read: set[str] = set()
        self._known: set[str] = set()
        self._next_look = 0.0

    def refresh(self) -> Iterator[None]:
        """Writes down what is new; comes back after each portion, for whoever wants to end it."""
        logs = self._look()
        alive = {log.id for log in logs.values() if log.is_alive}
        if logs.keys() - alive - self._read:
            logs = self._look()  # who was dead a moment ago has written all that there will be
        wanted = {log: logs.get(log) or LocalLog(log) for log in {*logs, *self._followed}}
        # Who resumes a run is seen later than who began it.
        for log in sorted(wanted.values(), key=lambda one: one.last_seen):
            if log.id not in self._read:
                yield from self._follow(log, log.id in alive)

    def _look(self) -> dict[str, LocalLog]:
        """The logs that are there; those of the living are held, who may delete them any time."""
        self._next_look = time.monotonic() + BETWEEN_LOOKS
        logs = local_logs()
        for log in logs.values():
            if log.is_alive and log.id not in self._read:
                self._followed_log(log.id).hold(log.segments)
        return logs

    def _followed_log(self, log: str) -> FollowedLog:
        if log not in self._followed:
            self._followed[log] = FollowedLog(log, self._known)
        return self._followed[log]

    def _follow(self, log: LocalLog, is_alive: bool) -> Iterator[None]:
        followed = self._followed_log(log.id)
        try:
            for messages in followed.news(log.segments, is_alive):
                self._write(messages)
                if time.monotonic() > self._next_look:
                    self._look()
                yield
        except Exception as error:  # noqa: BLE001 - one damaged log costs no other its page
            logger.warning("The run log %s cannot be shown: %r", log.id, error)
            followed.close()
        if followed.is_over:
            del self._followed[log.id]
            self._read.add(log.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for followed in self._followed.values():
            followed.close()
        self._store.close()

    def _write(self, messages: list[Message]) -> None:
        items = schemas.Bulk.model_validate_json(body_of(messages)).items
        for item in items:
            item.idempotency_key = None  # nothing is said twice here, so no key need be kept
        for message, answer in zip(messages, apply_all(self._store, items, PATIENCE), strict=False):
            if answer.status >= TAKEN and not message.kind.is_post:
                logger.debug("%s of %s: %s", message.kind.value, message.workflow, answer.body)
