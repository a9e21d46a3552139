"""Spans as plain values: what is read from a file, and what other tools are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Attributes = Mapping[str, Any]

INTERNAL, SERVER = 1, 2
"""Kinds of spans, by the numbers of OTLP."""

UNSET, OK, ERROR = 0, 1, 2
"""What a span says of its outcome, by the numbers of OTLP."""


class Event(NamedTuple):
    """Something that happened within a span; `at` is in nanoseconds since 1970."""

    name: str
    at: int
    attributes: Attributes


class Link(NamedTuple):
    """Another span that a span has to do with."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass
class Span:
    """One span that has ended. Times are nanoseconds since 1970.

    Attributes:
        trace_id: The id of its trace, 32 hexadecimal digits.
        span_id: Its id, 16 hexadecimal digits.
        parent_id: That of the span it is within; empty of a root.
        kind: By the numbers of OTLP.
        outcome: UNSET, OK or ERROR.
        message: What failed it.
        resource: What the spans of a process have in common.
        scope: The name and the version of what made it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start: int
    end: int
    kind: int = INTERNAL
    attributes: Attributes = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    outcome: int = UNSET
    message: str = ""
    resource: Attributes = field(default_factory=dict)
    scope: tuple[str, str] = ("", "")


def children_of(spans: list[Span]) -> dict[str, list[Span]]:
    """The spans by the id of their parent, by their beginning; a root's is "".

    One whose parent is not among them is a root, and so is the first of some that are, by a
    mistake, each within the other.
    """
    ids = {span.span_id for span in spans}
    found: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        parent = span.parent_id if span.parent_id in ids else ""
        found.setdefault(parent, []).append(span)
    reached = _reached(found)
    while len(reached) < len(ids):
        lost = next(span for span in spans if span.span_id not in reached)
        found[lost.parent_id].remove(lost)
        found.setdefault("", []).append(lost)
        reached |= _reached(found, lost.span_id)
    return found


def _reached(children: dict[str, list[Span]], begin: str = "") -> set[str]:
    """The ids of the spans that are below one, and its own."""
    waiting, found = [begin], {begin} - {""}
    while waiting:
        for span in children.get(waiting.pop(), ()):
            if span.span_id not in found:
                found.add(span.span_id)
                waiting.append(span.span_id)
    return found
