"""Log records as JSON in a run log; and records again, in another process or later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from dotflow.otel.export.otlp.endpoint import LOGS
from dotflow.otel.logs.record import Record
from dotflow.runlog import lines
from dotflow.utils.json_text import encoder_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.runlog.reader import Fact

_encode = encoder_of(is_ascii=True, default=str)

MOST_RESOURCES = 100
"""Resources that are held once for all records of them; then the memory begins anew."""


class Writer:
    """Writes records as JSON objects; what all records of a resource share is encoded once."""

    def __init__(self) -> None:
        self._resource: tuple[Resource | None, str] = (None, "")

    def write(self, record: Record) -> str:
        """A record, whole."""
        known, shared = self._resource
        resource = record.resource
        if known is not resource:
            shared = _encode([dict(resource.attributes), resource.schema_url])
            self._resource = resource, shared
        found = record.instrumentation_scope
        scope = found and [
            found.name, found.version, found.schema_url, dict(found.attributes or {}) or None
        ]  # fmt: skip
        return f'{{"resource":{shared},"scope":{_encode(scope)},{_encode(record.fields)[1:]}'


class PastRecords:
    """Makes the log records of one log from its lines; the pure half of a replay.

    Args:
        reader: The key of the reader whose records these are.
    """

    def __init__(self, reader: str) -> None:
        self._reader = reader
        self._resources: dict[str, Resource] = {}
        self.damaged = 0

    def take(self, fact: Fact) -> tuple[Record, int] | None:
        """Take the next line; return the record that it tells of, and the line's number."""
        if fact["f"] != lines.RECORD or (fact.get("to") or {}).get(self._reader) != LOGS.what:
            return None
        try:
            return self._record(dict(fact["said"])), fact["n"]
        except Exception:  # noqa: BLE001 - one that is damaged costs no other
            self.damaged += 1
            return None

    def unended(self, last_seen_ns: int) -> Iterator[tuple[Record, int]]:  # noqa: ARG002
        """Nothing: a record has no end."""
        return iter(())

    def _record(self, fields: dict[str, Any]) -> Record:
        resource, scope = self._resource(fields.pop("resource")), fields.pop("scope")
        record = Record(resource, scope and InstrumentationScope(*scope), fields)
        # What is damaged is to be found here.
        _ = record.trace_id, record.span_id, record.trace_flags, record.severity_number
        _ = record.size, record.timestamp, record.observed_timestamp
        return record

    def _resource(self, said: list[Any]) -> Resource:
        """One object for all records of it: the encoders put these together."""
        known = _encode(said)
        found = self._resources.get(known)
        if found is None:
            if len(self._resources) >= MOST_RESOURCES:
                self._resources.clear()
            found = self._resources[known] = Resource(*said)
        return found
