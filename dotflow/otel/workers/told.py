"""What a worker is told of the process that reports, in the carriers of its tasks."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.sdk.resources import SERVICE_NAME

from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORKER_KEY = "dotflow-worker"
"""Where a carrier says it; no propagator reads it."""


class _Here:
    """This process, as others may know it again."""

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Be another one in a forked child."""
        self.name = os.urandom(8).hex()


_here = _Here()


class Told(NamedTuple):
    """What a worker is told.

    Attributes:
        by: Which process told it.
        service_name: The service's name of that, for a worker whose environment has none.
        texts: What decides what may be said of exceptions and log records.
        spans: The OTLP endpoints that spans are for; None where nobody wants them.
        logs: The same of log records.
    """

    by: str
    service_name: str
    texts: dict[str, bool]
    spans: list[str] | None
    logs: list[str] | None

    @property
    def is_here(self) -> bool:
        """Whether it is this process that reports: then there is nothing to bring anywhere."""
        return self.by == _here.name


def told_by(carrier: Mapping[str, str]) -> Told:
    """What the carrier of a worker tells."""
    return Told(*json.loads(carrier[WORKER_KEY]))


def for_a_worker(
    provider: Any, texts: dict[str, bool], spans: Sequence[str] | None, logs: Sequence[str]
) -> dict[str, str]:
    """What is told of this process.

    Args:
        provider: Its tracer provider.
        texts: What decides what may be said.
        spans: The OTLP endpoints that spans are for; None where nobody wants any.
        logs: Those that log records are for.
    """
    attributes = getattr(getattr(provider, "resource", None), "attributes", None) or {}
    service_name = str(attributes.get(SERVICE_NAME, ""))
    told = Told(
        _here.name, service_name, texts, None if spans is None else list(spans), list(logs) or None
    )
    return {WORKER_KEY: json.dumps(told, separators=(",", ":"))}
