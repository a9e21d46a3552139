"""Spans as Chrome's trace events, which Perfetto (ui.perfetto.dev) and chrome://tracing open."""

from __future__ import annotations

import heapq
import json
from typing import TYPE_CHECKING, Any

from dotflow.waterfall.spans import ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.waterfall.spans import Attributes, Event, Span

_PROCESS = 1


def to_perfetto(spans: Sequence[Span], title: str = "") -> dict[str, Any]:
    """Gives spans as one object, to be written as JSON.

    What overlaps is on tracks of its own: a slice is always within the one that it is drawn in.
    Times are microseconds after the first span's beginning; `otherData` says when that was.

    Args:
        spans: The spans.
        title: What is written beside the tracks.
    """
    begin = min((span.start for span in spans), default=0)
    tracks = _Tracks()
    placed = [(span, tracks.place(span)) for span in sorted(spans, key=_order)]
    events: list[dict[str, Any]] = []
    for span, track in placed:
        events.append(_slice(span, track, begin))
        events += [_instant(one, track, begin) for one in span.events]
    return {
        "traceEvents": [*_named(title, tracks.count), *events],
        "displayTimeUnit": "ms",
        "otherData": {"began_at_ns": str(begin)},
    }


def _order(span: Span) -> tuple[int, int, bool]:
    return span.start, -span.end, bool(span.parent_id)


class _Tracks:
    """Finds a track for each span: within its parent's slice, else one where nothing goes on.

    Attributes:
        count: How many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._free: list[tuple[int, int]] = []  # when the last slice of a track ends, and which
        self._open: dict[int, list[int]] = {}  # the ends of the slices that go on, outer ones first
        self._of: dict[str, int] = {}

    def place(self, span: Span) -> int:
        """The number of its track; spans are given by their beginning."""
        track = self._of.get(span.parent_id)
        if track is None or not self._is_within(span, track):
            track = self._another(span)
        self._open[track].append(span.end)
        self._of[span.span_id] = track
        return track

    def _is_within(self, span: Span, track: int) -> bool:
        ends = self._open[track]
        while ends and ends[-1] <= span.start:
            ends.pop()
        return bool(ends) and span.end <= ends[-1]

    def _another(self, span: Span) -> int:
        if self._free and self._free[0][0] <= span.start:
            _, track = heapq.heappop(self._free)
        else:
            track = self.count
            self.count += 1
        self._open[track] = []
        heapq.heappush(self._free, (span.end, track))
        return track


def _slice(span: Span, track: int, begin: int) -> dict[str, Any]:
    return {
        "name": span.name, "cat": "failed" if span.outcome == ERROR else "span", "ph": "X",
        "ts": (span.start - begin) / 1e3, "dur": (span.end - span.start) / 1e3,
        "pid": _PROCESS, "tid": track,
        "args": {
            **_said(span.attributes), "trace_id": span.trace_id, "span_id": span.span_id,
            **({"error": span.message} if span.message else {}),
        },
    }  # fmt: skip


def _instant(event: Event, track: int, begin: int) -> dict[str, Any]:
    return {
        "name": event.name, "cat": "event", "ph": "i", "s": "t", "ts": (event.at - begin) / 1e3,
        "pid": _PROCESS, "tid": track, "args": _said(event.attributes),
    }  # fmt: skip


def _said(attributes: Attributes) -> dict[str, Any]:
    plain = (str, int, float, bool)
    return {
        key: one if isinstance(one, plain) else json.dumps(one, default=str)
        for key, one in attributes.items()
    }


def _named(title: str, tracks: int) -> list[dict[str, Any]]:
    """What names the process, and keeps the tracks in their order."""
    found: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": _PROCESS, "args": {"name": title}}
    ]
    for track in range(tracks):
        about = {"ph": "M", "pid": _PROCESS, "tid": track}
        label = "run" if track == 0 else f"lane {track}"
        found += [
            {"name": "thread_name", **about, "args": {"name": label}},
            {"name": "thread_sort_index", **about, "args": {"sort_index": track}},
        ]
    return found
