"""OTLP as JSON, the form of traces that files and other tools have."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from dotflow.waterfall.spans import INTERNAL, UNSET, Event, Link, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENUMS = {
    "SPAN_KIND_UNSPECIFIED": 0, "SPAN_KIND_INTERNAL": 1, "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3, "SPAN_KIND_PRODUCER": 4, "SPAN_KIND_CONSUMER": 5,
    "STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2,
}  # fmt: skip
"""What names stand for: some write those in place of the numbers."""


class NoOtlpError(ValueError):
    """A text is no OTLP JSON."""


# Writing.


def to_otlp(spans: Sequence[Span]) -> dict[str, Any]:
    """Gives spans as one object that is an OTLP request, to be written as JSON."""
    resources: dict[str, tuple[Mapping[str, Any], dict[tuple[str, str], list[Any]]]] = {}
    for span in spans:
        key = json.dumps(span.resource, sort_keys=True, default=str)
        scopes = resources.setdefault(key, (span.resource, {}))[1]
        scopes.setdefault(span.scope, []).append(_span(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [
                    {"scope": {"name": name, "version": version}, "spans": found}
                    for (name, version), found in scopes.items()
                ],
            }
            for resource, scopes in resources.values()
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(span.end),
        "attributes": _attributes(span.attributes),
        "events": [
            {"timeUnixNano": str(one.at), "name": one.name,
             "attributes": _attributes(one.attributes)}
            for one in span.events
        ],
        "links": [
            {"traceId": one.trace_id, "spanId": one.span_id,
             "attributes": _attributes(one.attributes)}
            for one in span.links
        ],
        "status": {"code": span.outcome, "message": span.message},
    }  # fmt: skip


def _attributes(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(one)} for key, one in found.items() if one is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value)}}
    return {"stringValue": str(value)}


# Reading.


def from_otlp(text: str) -> list[Span]:
    """Reads the spans of a text: one object, a list of them, or one a line.

    A span that comes twice counts once; a line that is torn is passed over.

    Raises:
        NoOtlpError: There is no OTLP in it.
    """
    found: dict[tuple[str, str], Span] = {}
    is_otlp = False
    for one in _objects(text):
        resources = _of(one, "resourceSpans")
        is_otlp |= isinstance(resources, list)
        for span in _spans(_list(resources)):
            found[span.trace_id, span.span_id] = span
    if not is_otlp:
        raise NoOtlpError('there is no "resourceSpans" in it')
    return list(found.values())


def _objects(text: str) -> Iterator[dict[str, Any]]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        for line in text.splitlines():
            try:
                one = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(one, dict):
                yield one
        return
    for one in whole if isinstance(whole, list) else [whole]:
        if isinstance(one, dict):
            yield one


def _spans(resources: list[Any]) -> Iterator[Span]:
    for of_resource in resources:
        resource = _read_attributes(_of(_of(of_resource, "resource"), "attributes"))
        for of_scope in _list(_of(of_resource, "scopeSpans")):
            said = _of(of_scope, "scope")
            scope = str(_of(said, "name") or ""), str(_of(said, "version") or "")
            for one in _list(_of(of_scope, "spans")):
                span = _read(one, resource, scope)
                if span is not None:
                    yield span


def _read(said: Any, resource: dict[str, Any], scope: tuple[str, str]) -> Span | None:
    """One span; None of what has no id, or no times."""
    try:
        start, end = int(_of(said, "startTimeUnixNano")), int(_of(said, "endTimeUnixNano"))
    except (TypeError, ValueError):
        return None
    trace_id, span_id = _id(_of(said, "traceId"), 16), _id(_of(said, "spanId"), 8)
    if not trace_id or not span_id:
        return None
    status = _of(said, "status")
    return Span(
        trace_id, span_id, _id(_of(said, "parentSpanId"), 8), str(_of(said, "name") or ""), start,
        max(start, end), _number(_of(said, "kind"), INTERNAL),
        _read_attributes(_of(said, "attributes")),
        [
            Event(str(_of(one, "name") or ""), _number(_of(one, "timeUnixNano"), start),
                  _read_attributes(_of(one, "attributes")))
            for one in _list(_of(said, "events"))
        ],
        [
            Link(_id(_of(one, "traceId"), 16), _id(_of(one, "spanId"), 8),
                 _read_attributes(_of(one, "attributes")))
            for one in _list(_of(said, "links"))
        ],
        _number(_of(status, "code"), UNSET), str(_of(status, "message") or ""), resource, scope,
    )  # fmt: skip


def _of(said: Any, name: str) -> Any:
    """A field of an object; some write its name as it is in the protocol's own files."""
    if not isinstance(said, dict):
        return None
    found = said.get(name)
    if found is None:
        found = said.get("".join(f"_{one.lower()}" if one.isupper() else one for one in name))
    return found


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _number(found: Any, default: int) -> int:
    try:
        return int(ENUMS.get(found, found))
    except (TypeError, ValueError):
        return default


def _id(found: Any, size: int) -> str:
    """An id as hexadecimal digits; some write it as all other bytes are written in JSON."""
    text = str(found or "")
    if len(text) != 2 * size:
        try:
            text = base64.b64decode(text, validate=True).hex()
        except (binascii.Error, ValueError):
            return ""
    is_id = len(text) == 2 * size and set(text.lower()) <= set("0123456789abcdef")
    return text.lower() if is_id and text.strip("0") else ""


def _read_attributes(found: Any) -> dict[str, Any]:
    return {
        str(_of(one, "key")): _read_value(_of(one, "value"))
        for one in _list(found)
        if _of(one, "key") is not None
    }


def _read_value(said: Any) -> Any:
    if not isinstance(said, dict) or not said:
        return None
    for name, value in said.items():
        kind = name.replace("_", "").lower()
        if kind == "intvalue":
            return _number(value, 0)
        if kind == "arrayvalue":
            return [_read_value(one) for one in _list(_of(value, "values"))]
        if kind == "kvlistvalue":
            return _read_attributes(_of(value, "values"))
        return value
    return None
