"""What Perfetto is given: slices that lie within each other, or apart, on every track."""

from __future__ import annotations

import json
import random

from dotflow.waterfall.perfetto import to_perfetto
from dotflow.waterfall.spans import ERROR, Event, Span


def span(number, start, end, parent=0, **more):
    """A span of a trace."""
    name = f"step {number}"
    return Span("a" * 32, f"{number:016x}", f"{parent:016x}" if parent else "", name, start, end,
                **more)  # fmt: skip


def slices(spans):
    return [one for one in to_perfetto(spans)["traceEvents"] if one["ph"] == "X"]


def test_a_span_is_a_slice_in_microseconds_with_what_it_says():
    failed = Event("exception", 1_500, {"exception.type": "E", "lines": [1, 2]})
    said = to_perfetto([
        span(1, 1_000, 9_000),
        span(2, 1_500, 4_500, 1, attributes={"n": 3}, outcome=ERROR, message="no", events=[failed]),
    ], "nightly")  # fmt: skip
    assert json.loads(json.dumps(said)) == said
    outer, inner = (one for one in said["traceEvents"] if one["ph"] == "X")
    assert (outer["ts"], outer["dur"], inner["ts"], inner["dur"]) == (0.0, 8.0, 0.5, 3.0)
    assert inner["args"] | {"n": 3, "error": "no", "span_id": f"{2:016x}"} == inner["args"]
    assert inner["tid"] == outer["tid"]
    [instant] = [one for one in said["traceEvents"] if one["ph"] == "i"]
    assert (instant["ts"], instant["args"]["lines"]) == (0.5, "[1, 2]")
    assert said["otherData"]["began_at_ns"] == "1000"
    assert said["traceEvents"][0]["args"]["name"] == "nightly"


def test_what_overlaps_is_on_tracks_of_its_own():
    rng = random.Random(7)
    spans = [span(1, 0, 1000)]
    for number in range(2, 300):
        parent = rng.choice(spans)
        start = rng.randint(parent.start, parent.end)
        # Some go on after what they are within: a clock that was set, or work that was left behind.
        spans.append(span(number, start, start + rng.randint(0, 300), int(parent.span_id, 16)))
    found = slices(spans)
    assert len(found) == len(spans)
    by_track = {}
    for one in found:
        start, length = round(one["ts"] * 1e3), round(one["dur"] * 1e3)
        by_track.setdefault(one["tid"], []).append((start, start + length))
    for on_track in by_track.values():
        for at, (start, end) in enumerate(on_track):
            for other_start, other_end in on_track[at + 1 :]:
                apart = end <= other_start or other_end <= start
                within = start <= other_start and other_end <= end
                assert apart or within


def test_nothing_is_a_file_too():
    assert slices([]) == []
