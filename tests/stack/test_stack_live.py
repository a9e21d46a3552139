"""What a user sees in Jaeger of a run that has not ended: what docs/guides/stack.md says."""

from __future__ import annotations

from collections import Counter

import pytest
from stack_jaeger import search, trace
from stack_runs import Program, check_whole_run
from stack_servers import until

DONE = Counter({"fetch": 2, "attempt": 4, "read shelf": 2})
MARKERS = Counter({"workflow started": 1, "task started": 4})
SERVICE = "dotflow"


def _shown(jaeger, program, wanted):
    """The spans as Jaeger's page shows them, when these are there."""

    def check():
        spans = trace(jaeger, program.trace_id, raw=False)
        names = Counter(span.name for span in spans)
        assert names == wanted, names
        return spans

    return until(check, "Jaeger shows something else")


def _orphans(spans):
    """The spans that Jaeger warns of, for their parents are not there yet, by parent."""
    found = {span.id for span in spans}
    warned = {span.id for span in spans if any("invalid parent" in one for one in span.warnings)}
    orphans = [span for span in spans if span.parent is not None and span.parent not in found]
    assert warned == {span.id for span in orphans}
    return Counter((span.name, span.parent) for span in orphans)


def _at_the_gates(folder, collector, **variables):
    otlp = f"http://localhost:{collector.http_port}"
    return Program(folder, "group_gates", otlp=otlp, FLUSH=60, **variables)


def _let_on(program):
    for gate in ("north", "south"):
        program.open(gate)
    program.end()


def test_a_run_under_way(collector, jaeger, tmp_path):
    """There is what has ended, under parents that are still missing; what runs cannot be seen."""
    with _at_the_gates(tmp_path / "p", collector) as program:
        program.reach("north", "south")
        spans = _shown(jaeger, program, DONE)
        [((name, root), count)] = _orphans(spans).items()
        assert (name, count) == ("fetch", 2)
        assert search(jaeger, SERVICE, **{"dotflow.workflow.id": program.id}) == [program.trace_id]
        _let_on(program)
    assert root in {span.id for span in check_whole_run(jaeger, program) if span.parent is None}


def test_a_run_under_way_with_markers(collector, jaeger, tmp_path):
    """Each beginning can be seen; a marker whose parent is missing is one of what runs."""
    with _at_the_gates(tmp_path / "p", collector, DOTFLOW_TRACE_MARKERS=1) as program:
        program.reach("north", "south")
        spans = _shown(jaeger, program, DONE + MARKERS)
        [started] = [span for span in spans if span.name == "workflow started"]
        assert started.tags["dotflow.workflow.id"] == program.id
        assert started.tags["dotflow.workflow.task_count"] == 4
        orphans = _orphans(spans)
        assert (orphans["fetch", started.parent], orphans["workflow started", started.parent]) == (
            2,
            1,
        )
        missing = [span for span in spans if ("task started", span.parent) in orphans]
        assert [span.tags["dotflow.task.name"] for span in missing] == ["gated", "gated"]
        _let_on(program)
    spans = _shown(jaeger, program, DONE + MARKERS + Counter(group_gates=1, gated=2, wait=2))
    assert not _orphans(spans)


@pytest.mark.parametrize("markers", [0, 1])
def test_nothing_has_ended_yet(markers, collector, jaeger, tmp_path):
    """Of a run whose first task runs there is no trace at all, but with markers."""
    otlp = f"http://localhost:{collector.http_port}"
    more = {"DOTFLOW_TRACE_MARKERS": markers, "FLUSH": 60}
    with Program(tmp_path / "p", "gates", otlp=otlp, **more) as program:
        program.reach("first")
        if markers:
            _shown(jaeger, program, Counter({"workflow started": 1, "task started": 1}))
        else:
            assert trace(jaeger, program.trace_id) == []
        for gate in ("first", "second", "third"):
            program.open(gate)
        program.end()
    begun = Counter({"workflow started": 1, "task started": 3} if markers else {})
    assert not _orphans(_shown(jaeger, program, begun + Counter(gates=1, gated=3, wait=3)))
