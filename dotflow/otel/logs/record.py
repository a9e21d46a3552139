"""A log record on its way: what may be said of it, bounded, such as any exporter can encode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import TraceFlags

from dotflow.otel import attributes as names
from dotflow.otel.spans.values import MESSAGE_LIMIT, NAME_LIMIT, STACKTRACE_LIMIT, cut, cut_start
from dotflow.utils.masking import MASK, SECRET, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from dotflow.runlog.texts import Texts

BODY_LIMIT = 2**16
"""Bytes of what a record says."""

VALUE_LIMIT = 4096
"""Bytes of the text of an attribute."""

MOST_ATTRIBUTES = 128
MOST_PARTS = 128
"""Parts of a value that is made of several."""

DEEPEST = 4
"""Values within values; what is deeper is said as text."""

RECORD_BYTES = 500
"""About what a record takes beside its texts."""

LARGEST = 2**63
"""No whole number in OTLP is as large."""


class Record:
    """A log record, as the encoders of all releases of OpenTelemetry read one.

    Args:
        resource: What produced it.
        scope: The scope of its logger.
        fields: What it says, plain: see `fields_of`.
    """

    __slots__ = ("_fields", "instrumentation_scope", "resource")

    def __init__(
        self, resource: Resource, scope: InstrumentationScope | None, fields: dict[str, Any]
    ) -> None:
        self.resource = resource
        self.instrumentation_scope = scope
        self._fields = fields

    @property
    def log_record(self) -> Record:
        """Itself: the SDK has the record, and what is around it, in two objects."""
        return self

    @property
    def timestamp(self) -> int | None:
        """When it was said, in nanoseconds since the epoch."""
        at: int | None = self._fields["at"]
        return at

    @property
    def observed_timestamp(self) -> int | None:
        """When OpenTelemetry got it."""
        seen: int | None = self._fields["seen"]
        return seen

    @property
    def trace_id(self) -> int:
        """The trace that it is of; 0 for none."""
        return int(self._fields["context"][0], 16)

    @property
    def span_id(self) -> int:
        """The span that was current; 0 for none."""
        return int(self._fields["context"][1], 16)

    @property
    def trace_flags(self) -> TraceFlags:
        """Whether that span is exported."""
        return TraceFlags(self._fields["context"][2])

    @property
    def severity_number(self) -> SeverityNumber:
        """How bad it is."""
        return SeverityNumber(self._fields["severity"][0])

    @property
    def severity_text(self) -> str | None:
        """The same in words."""
        text: str | None = self._fields["severity"][1]
        return text

    @property
    def body(self) -> Any:
        """What it says."""
        return self._fields["body"]

    @property
    def attributes(self) -> dict[str, Any]:
        """Its attributes."""
        attributes: dict[str, Any] = self._fields["attributes"]
        return attributes

    @property
    def dropped_attributes(self) -> int:
        """How many more it had."""
        return int(self._fields.get("dropped", 0))

    @property
    def event_name(self) -> str | None:
        """What kind of event it tells of, if it does."""
        return self._fields.get("event")

    @property
    def size(self) -> int:
        """About as many bytes as it takes, rather too many."""
        return RECORD_BYTES + 4 * sum(_lengths([self.body, self.attributes]))

    @property
    def fields(self) -> dict[str, Any]:
        """What it says, as JSON takes it."""
        return self._fields


def fields_of(record: Any, dropped: int, texts: Iterable[Texts]) -> dict[str, Any]:
    """What may be said of a record of the SDK's.

    Args:
        record: The record.
        dropped: How many attributes it had beside those that it has.
        texts: What decides that; each in turn.
    """
    chosen = list(texts)
    given = record.attributes or {}
    attributes = {
        cut(str(name), NAME_LIMIT): _attribute(str(name), value, chosen)
        for name, value in list(given.items())[:MOST_ATTRIBUTES]
    }
    number, text = record.severity_number, record.severity_text
    fields = {
        "at": record.timestamp,
        "seen": record.observed_timestamp,
        "context": [
            f"{record.trace_id or 0:032x}", f"{record.span_id or 0:016x}",
            int(record.trace_flags or 0),
        ],
        "severity": [0 if number is None else number.value, text and cut(str(text), NAME_LIMIT)],
        "body": _plain(record.body, lambda one: _said(one, chosen), BODY_LIMIT),
        "attributes": attributes,
    }  # fmt: skip
    dropped += max(0, len(given) - MOST_ATTRIBUTES)
    if dropped:
        fields["dropped"] = dropped
    if event := getattr(record, "event_name", None):
        fields["event"] = cut(str(event), NAME_LIMIT)
    return fields


def _attribute(name: str, value: Any, texts: list[Texts]) -> Any:
    if verdict(name) & SECRET and value is not None and any(one.is_masking for one in texts):
        return MASK
    if name == names.EXCEPTION_MESSAGE:
        return cut(_error_said(str(value), texts), MESSAGE_LIMIT)
    if name == names.EXCEPTION_STACKTRACE:
        return cut_start(_error_said(str(value), texts, is_traceback=True), STACKTRACE_LIMIT)
    return _plain(value, lambda one: _said(one, texts), VALUE_LIMIT)


def _said(text: str, texts: list[Texts]) -> str:
    for one in texts:
        text = one.masked(text)
    return text


def _error_said(text: str, texts: list[Texts], is_traceback: bool = False) -> str:
    for one in texts:
        text = one.said(text, is_traceback)
    return text


def _plain(value: Any, said: Callable[[str], str], limit: int, depth: int = 0) -> Any:
    """A value that JSON and OTLP both have, with the words that may be said."""
    if _is_simple(value):
        return value
    if depth < DEEPEST and isinstance(value, Mapping):
        return {
            cut(str(key), NAME_LIMIT): MASK
            if verdict(str(key)) & SECRET
            else _plain(one, said, limit, depth + 1)
            for key, one in list(value.items())[:MOST_PARTS]
        }
    if depth < DEEPEST and isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(one, said, limit, depth + 1) for one in value[:MOST_PARTS]]
    if isinstance(value, bytes):
        value = value[: 4 * limit].decode("utf-8", "replace")
    text = value if isinstance(value, str) else str(value)
    # Masked before it is cut: what is left of a credential could not be told from text.
    return cut(said(text[: 4 * limit]), limit)


def _is_simple(value: Any) -> bool:
    """Whether a value is one in JSON and in OTLP as it is."""
    if type(value) is int:
        return -LARGEST <= value < LARGEST
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) is bool


def _lengths(value: Any) -> Iterable[int]:
    """How long each text in a plain value is."""
    if isinstance(value, str):
        yield len(value)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield len(key)
            yield from _lengths(one)
    elif isinstance(value, list):
        for one in value:
            yield 8
            yield from _lengths(one)
