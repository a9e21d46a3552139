"""Servers that go and come back, a program that is killed: nothing is missing, nothing is twice."""

from __future__ import annotations

from collections import Counter

import pytest
from stack_jaeger import Records, trace
from stack_runs import Program, check_records, check_whole_run, run
from stack_servers import Api, Collector, Jaeger, until


@pytest.fixture
def own_collector(binaries, jaeger, tmp_path):
    with Collector(binaries, _made(tmp_path / "collector"), jaeger.otlp) as server:
        yield server


@pytest.fixture
def own_api(binaries, tmp_path):
    with Api(_made(tmp_path / "api")) as server:
        yield server


def _made(folder):
    folder.mkdir()
    return folder


def _http(server):
    return f"http://localhost:{server.http_port}"


@pytest.mark.parametrize("pipeline", ["gates", "group_gates"])
def test_the_collector_is_restarted_in_a_run(pipeline, own_collector, jaeger, tmp_path):
    """What ended while it was away arrives when it is back, while the program goes on or ends."""
    gates = {"gates": ["first", "second", "third"], "group_gates": ["north", "south"]}[pipeline]
    with Program(tmp_path / "p", pipeline, otlp=_http(own_collector), FLUSH=60) as program:
        program.reach(gates[0])
        own_collector.stop()
        for gate in gates[:-1]:
            program.open(gate)
        program.reach(gates[-1])
        own_collector.start()
        program.open(gates[-1])
        program.end()
    check_whole_run(jaeger, program)


def test_the_collector_is_away_when_a_run_ends(own_collector, jaeger, api, records, tmp_path):
    """What the program could not send `dotflow outbox flush` sends; the records do not wait."""
    with Program(tmp_path / "p", "gates", otlp=_http(own_collector), api=api) as program:
        program.reach("first")
        own_collector.stop()
        for gate in ("first", "second", "third"):
            program.open(gate)
        program.end()
    check_records(records, program)
    assert "waits" in program.said() or "outbox" in program.said()
    assert trace(jaeger, program.trace_id) == []
    assert program.outbox("flush", "--timeout", "2").returncode == 1
    own_collector.start()
    flushed = program.outbox("flush", "--timeout", "60")
    assert flushed.returncode == 0, flushed.stdout + flushed.stderr
    check_whole_run(jaeger, program)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_jaeger_and_the_collector_are_restarted(end, binaries, tmp_path):
    """The Collector keeps on disk what Jaeger did not take, also when it is killed itself."""
    jaeger = Jaeger(binaries, _made(tmp_path / "jaeger"), on_disk=True)
    collector = Collector(binaries, _made(tmp_path / "collector"), jaeger.otlp)
    with jaeger, collector:
        before = run(_made(tmp_path / "before"), "shop", otlp=_http(collector))
        seen = check_whole_run(jaeger, before)
        with Program(tmp_path / "p", "gates", otlp=_http(collector), FLUSH=60) as program:
            program.reach("first")
            jaeger.stop()
            program.open("first")
            program.reach("second")
            program.open("second")
            program.open("third")
            program.end()
        assert program.truth("flushed")[0]["complete"]  # the Collector has it all
        getattr(collector, end)()
        collector.start()
        jaeger.start()
        check_whole_run(jaeger, program)
        assert check_whole_run(jaeger, before) == seen


def test_dotflow_api_is_restarted_in_a_run(own_api, collector, jaeger, tmp_path):
    """The records of the time that it was away arrive when it is back; the trace does not wait."""
    otlp = _http(collector)
    with Program(tmp_path / "p", "gates", otlp=otlp, api=own_api, FLUSH=60) as program:
        program.reach("first")
        own_api.stop()
        program.open("first")
        program.reach("second")
        program.open("second")
        program.reach("third")
        own_api.start()
        program.open("third")
        program.end()
    check_records(Records(own_api), program)
    check_whole_run(jaeger, program)


def test_dotflow_api_is_away_when_a_run_ends(own_api, collector, jaeger, tmp_path):
    """What the program could not report `dotflow outbox flush` reports."""
    with Program(tmp_path / "p", "group_gates", otlp=_http(collector), api=own_api) as program:
        program.reach("north", "south")
        own_api.kill()
        program.open("north")
        program.open("south")
        program.end()
    check_whole_run(jaeger, program)
    own_api.start()
    flushed = program.outbox("flush", "--timeout", "60")
    assert flushed.returncode == 0, flushed.stdout + flushed.stderr
    check_records(Records(own_api), program)


@pytest.mark.parametrize("is_away", [False, True], ids=["there", "away"])
def test_the_program_is_killed(is_away, own_collector, own_api, jaeger, tmp_path):
    """`dotflow outbox flush` sends what a killed program had not, and ends what was under way."""
    with Program(tmp_path / "p", "gates", otlp=_http(own_collector), api=own_api) as program:
        program.reach("first")
        program.open("first")
        program.reach("second")
        if is_away:
            own_collector.stop()
            own_api.stop()
        program.kill()
    if is_away:
        own_collector.start()
        own_api.start()
    flushed = program.outbox("flush", "--timeout", "60")
    assert flushed.returncode == 0, flushed.stdout + flushed.stderr

    spans = until(lambda: _of_a_killed_run(jaeger, program), "the trace is not whole")
    [root] = [span for span in spans if span.parent is None]
    tasks = {span.tags["dotflow.task.id"]: span for span in spans if span.name == "gated"}
    assert {number: span.parent for number, span in tasks.items()} == {1: root.id, 2: root.id}
    assert (tasks[1].is_error, tasks[2].is_error, root.is_error) == (False, True, True)
    assert tasks[2].tags["error.type"] == root.tags["error.type"] == "process_killed"
    [done] = program.truth("try")
    assert tasks[1].begun <= done["begun"] <= done["ended"] <= tasks[1].ended

    api = Records(own_api)
    assert api.workflow(program.id)["status"] == "Failed"
    assert {task["task_id"]: task["status"] for task in api.tasks(program.id)} == {
        1: "Completed",
        2: "Failed",
    }


def _of_a_killed_run(jaeger, program):
    """The trace, when the run, both tasks and the spans of the first step are there, once each."""
    spans = trace(jaeger, program.trace_id)
    assert max(Counter(span.id for span in spans).values(), default=1) == 1
    names = Counter(span.name for span in spans)
    assert {"gates": 1, "gated": 2}.items() <= names.items(), names
    assert names["wait"] in (1, 2), names
    return spans


def test_the_program_is_killed_above_its_children(collector, api, records, jaeger, tmp_path):
    """The same where groups run in child processes: they end, and their tasks have failed."""
    with Program(tmp_path / "p", "group_gates", otlp=_http(collector), api=api) as program:
        program.reach("north", "south")
        program.kill()
    until(lambda: len(program.truth("try")) == 6, "the children do not end their steps")

    def whole():
        # What a child wrote is delivered once the child has ended, which takes it a moment.
        flushed = program.outbox("flush", "--timeout", "60")
        assert flushed.returncode == 0, flushed.stdout + flushed.stderr
        return _of_killed_groups(jaeger, program)

    spans = until(whole, "the trace is not whole")
    [root] = [span for span in spans if span.parent is None]
    tasks = {span.tags["dotflow.task.id"]: span for span in spans if span.parent == root.id}
    assert root.tags["error.type"] == "process_killed"
    assert {number: span.tags.get("error.type") for number, span in tasks.items()} == {
        1: None, 2: "process_killed", 3: None, 4: "process_killed",
    }  # fmt: skip
    assert records.workflow(program.id)["status"] == "Failed"
    assert {task["task_id"]: task["status"] for task in records.tasks(program.id)} == {
        1: "Completed", 2: "Failed", 3: "Completed", 4: "Failed",
    }  # fmt: skip


def _of_killed_groups(jaeger, program):
    spans = trace(jaeger, program.trace_id)
    assert max(Counter(span.id for span in spans).values(), default=1) == 1
    names = Counter(span.name for span in spans)
    assert names == Counter(
        {"group_gates": 1, "fetch": 2, "attempt": 4, "read shelf": 2, "gated": 2, "wait": 2}
    ), names
    return spans
