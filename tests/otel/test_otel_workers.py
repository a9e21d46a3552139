"""Steps on an executor's workers: spans that are given away before, and what is noted there."""

from __future__ import annotations

import json
import time
import zlib
from types import SimpleNamespace

import pytest
import workers_steps as steps
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.signals import SignalReceiver

from dotflow import Task, action
from dotflow.abc import facts
from dotflow.core.task_error import TaskError
from dotflow.utils.tools import hostname

LIMIT = 2**18


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    worker = steps.Far(tmp_path_factory.mktemp("elsewhere"))
    yield worker
    worker.close()


@action
def one_try():
    """Never called: the tests say what its worker does."""


@action(retry=3)
def tries():
    """The same, with attempts."""


class Run:
    """A run that a server is told of, as the core does.

    Args:
        server: The server.
        step: The step of its only task.
    """

    def __init__(self, server, step=one_try):
        self.server = server
        self.task = Task(task_id=0, step=step)
        self.task.workflow_id, self.number = f"w-{time.time_ns()}", facts.next_number()
        self.task.run = self.number
        plan = (facts.PlannedTask(0, "step", "default"),)
        began = facts.RunBegan(
            self.number, time.time_ns(), "etl", False, "parallel", False, plan, None
        )
        server.happened(began, self.task.workflow_id)

    def began(self, attempts=0, at=None):
        at = self.task.started_ns = at or time.time_ns()
        began = facts.TaskBegan(facts.next_number(), self.task.task_id, at)
        self.server.happened(began, self.task)
        for number in range(1, attempts + 1):
            n = facts.next_number()
            self.server.happened(facts.AttemptBegan(n, 0, number, at + number), self.task)
            error = TaskError(ValueError("again"), number) if number < attempts else None
            n = facts.next_number()
            self.server.happened(facts.AttemptEnded(n, 0, number, at + number, error), self.task)

    def ended(self, status="Completed"):
        n = facts.next_number()
        at = time.time_ns()
        ended = facts.TaskEnded(n, self.task.task_id, at, 0.1, status, 0, None)
        self.server.happened(ended, self.task)

    def over(self):
        n = facts.next_number()
        ended = facts.RunEnded(n, self.number, time.time_ns(), 0.2, "Completed")
        self.server.happened(ended, self.task.workflow_id)
        assert self.server.flush(60).complete

    def on(self, worker, body, *arguments, attempts=1, limit=LIMIT, ahead=0):
        """Run a step's body on a worker, whose clock may be ahead, and tell how it went."""
        carriers, at = self.server.reserve(self.task, attempts), time.time_ns()
        payload, found = worker.run(carriers, limit, body, *arguments)
        payload = moved(payload, ahead) if ahead else payload
        self.began(attempts if attempts > 1 else 0, at)
        self.server.gathered(self.task, payload)
        self.ended()
        self.over()
        return payload, found


def moved(payload, by_ns):
    """The same by another clock."""
    head, *lines = zlib.decompress(payload).decode().split("\n")
    head, lines = json.loads(head), [json.loads(line) for line in lines]
    head["at"] = [at + by_ns for at in head["at"]]
    for line in lines:
        line.update({name: line[name] + by_ns for name in ("start", "end")})
        line["events"] = [[name, at + by_ns, *more] for name, at, *more in line["events"]]
    return zlib.compress("\n".join(map(json.dumps, [head, *lines])).encode())


def whole(spans):
    """The spans by their ids: one trace, one root, no orphan, none twice."""
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    assert len({span.trace_id for span in spans}) == 1
    assert [span.name for span in spans if not span.parent_id] == ["etl"]
    assert [s.name for s in spans if s.parent_id and s.parent_id not in by_id] == []
    return by_id


def test_what_a_worker_notes_far_away_is_below_the_attempt_that_it_is_of(far, otlp, servers):
    """Spans come back with the outcome, below spans whose ids were chosen before they began."""
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    run = Run(servers(endpoint=otlp.http_url, service_name="shop"), tries)
    context.detach(token)
    run.task.place = SimpleNamespace(host="worker-7", process=1234, submitted_ns=time.time_ns())
    payload, found = run.on(far, steps.look, attempts=2)
    assert 0 < len(payload) <= LIMIT
    by_id = whole(otlp.spans)
    attempts = [span for span in otlp.spans if span.name == "attempt"]
    assert [ids[1] for ids, _, _ in found] == [span.span_id for span in attempts]
    assert {tenant for _, tenant, _ in found} == {"acme"}
    assert [by_id[s.parent_id].name for s in otlp.spans if s.name == "outer"] == ["attempt"] * 2
    assert [by_id[s.parent_id].name for s in otlp.spans if s.name == "inner"] == ["outer"] * 2
    inner = next(span for span in otlp.spans if span.name == "inner")
    assert inner.resource["service.name"] == "shop"
    assert inner.resource["process.pid"] == found[0][2]
    task = next(span for span in otlp.spans if span.name == "tries")
    assert task.attributes["host.name"] == "worker-7"
    assert task.attributes["process.pid"] == 1234
    assert 0 <= task.attributes["dotflow.task.queue_duration"] < 60


@pytest.mark.parametrize("hours", [-1, 1])
def test_times_of_a_worker_are_moved_into_those_of_its_task(hours, far, otlp, servers):
    """Its clock is another one; what took a moment there takes a moment here."""
    Run(servers(endpoint=otlp.http_url)).on(far, steps.suppressed, ahead=hours * 3600 * 10**9)
    task, raised = (
        next(span for span in otlp.spans if span.name == name) for name in ("one_try", "raises")
    )
    assert task.start <= raised.start <= raised.end <= time.time_ns()
    assert raised.end - raised.start < 60 * 10**9


def test_what_comes_back_is_bounded_and_has_no_orphan(far, otlp, servers, caplog):
    """What finds no room is left out and said, and its children are below its parent."""
    run = Run(servers(endpoint=otlp.http_url))
    payload, _ = run.on(far, steps.many, 300, 200, limit=8192)
    assert len(payload) <= 8192
    by_id = whole(otlp.spans)
    many = [span for span in otlp.spans if span.name == "one of many"]
    assert 10 < len(many) < 300
    assert {by_id[span.parent_id].name for span in many} == {"one_try"}
    left_out = 301 - len(many)
    assert f"{left_out} spans and 0 log records are left out" in caplog.text


def test_what_ends_after_its_step_comes_with_the_next_one(far, otlp, servers):
    """A thread that goes on ends a span: it is not lost, and it is where it belongs."""
    server = servers(endpoint=otlp.http_url)
    first = Run(server)
    first.on(far, steps.begin_what_goes_on)
    assert "late" not in [span.name for span in otlp.spans]
    Run(server).on(far, steps.end_what_goes_on)
    [late] = [span for span in otlp.spans if span.name == "late"]
    task = next(span for span in otlp.spans if span.name == "one_try")
    assert late.parent_id == task.span_id


def test_logs_come_back_too_and_are_masked_on_the_worker(far, otlp, servers):
    """A record has the span that was current; neither it nor an exception says a credential."""
    server = servers(endpoint=otlp.http_url, logs=True)
    run = Run(server)
    run.on(far, steps.look)
    [record] = otlp.wait_for_records(1)
    outer = next(span for span in otlp.spans if span.name == "outer")
    assert (record.span_id, record.trace_id) == (outer.span_id, outer.trace_id)
    assert record.body == "said with password=***"
    Run(server).on(far, steps.suppressed)
    raised = next(span for span in otlp.spans if span.name == "raises")
    assert "hunter2" not in str(raised)
    assert "hunter2" not in str(record)


@pytest.mark.parametrize(
    ("preference", "sums"),
    [("cumulative", [3, 6]), pytest.param("delta", [3, 3], marks=pytest.mark.slow)],
)
def test_what_a_worker_measures_leaves_from_here(
    preference, sums, far, servers, tmp_path, monkeypatch
):
    """Sums of a worker come back with each step, and are told as the exporter wants them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
    monkeypatch.delenv("OTEL_METRICS_EXPORTER")
    # A worker goes on with what it was told first.
    worker = far if preference == "cumulative" else steps.Far(tmp_path / "elsewhere")
    with SignalReceiver() as signals:
        server = servers(endpoint=signals.http_url, service_name="shop")
        for _ in range(2):
            Run(server).on(worker, steps.sell)
        server.close(60)
    if worker is not far:
        worker.close()
    assert [point.as_int for name, point in signals.points if name == "sold"] == sums
    resources = [said for said, metric in signals.measured if metric.name == "sold"]
    assert {(said["service.name"], said["host.name"]) for said in resources} == {
        ("shop", hostname())
    }


def test_a_provider_of_the_program_gets_them_with_ids_that_were_reserved(far, servers):
    """Its ids are its own, but for those that were given away; its processors get the rest."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    run = Run(servers(tracer_provider=provider), tries)
    _, found = run.on(far, steps.look, attempts=2)
    provider.shutdown()
    spans = exporter.get_finished_spans()
    ids = {format(span.context.span_id, "016x"): span for span in spans}
    attempts = [span for span in spans if span.name == "attempt"]
    assert [ids[span] for (_, span), _, _ in found] == attempts
    outer = next(span for span in spans if span.name == "outer")
    assert outer.parent.span_id == attempts[0].context.span_id
    assert len({span.context.trace_id for span in spans}) == 1


def test_a_task_that_never_began_leaves_no_span_and_holds_no_part_open(otlp, servers):
    """What was reserved is given back; a part of the run with nothing under way ends."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=1)
    run = Run(server)
    tasks = [run.task]
    for number in (1, 2):
        task = Task(task_id=number, step=one_try)
        task.workflow_id, task.run = run.task.workflow_id, run.number
        tasks.append(task)
    traces = [server.reserve(task, 1)[0]["traceparent"][:35] for task in tasks]
    assert len({*traces}) == 3
    assert server.reserve(tasks[1], 1)[0]["traceparent"][:35] == traces[1]
    for run.task in (tasks[0], tasks[2]):
        run.began()
        run.ended()
    run.over()
    names = sorted(span.name for span in otlp.spans)
    assert names == ["etl", *["one_try"] * 2, *["workflow part"] * 2]


def test_a_cluster_is_told_no_address_of_ours(servers):
    """It may be anybody's: where spans go from there its own variables say."""
    secret = "https://user:hunter2@collector.example/v1/traces"
    server = servers(endpoint=secret)
    run = Run(server)
    said = str(dict(server.reserve(run.task, 1)[0]))
    assert "dotflow-worker" in said
    assert "hunter2" not in said


def test_carriers_of_a_thousand_attempts_cost_no_more_than_one():
    """They are made as they are asked for, each of another span."""
    from dotflow.otel.spans.reserved import Carriers

    carriers = Carriers(
        {"traceparent": f"00-{1:032x}-{5:016x}-01", "b3": f"{1:032x}-{5:016x}-1"}, 5, 1000
    )
    assert len(carriers) == 1001
    assert len({one["traceparent"] for one in carriers}) == 1001
    last = carriers[-1]["traceparent"].split("-")[2]
    assert carriers[1000]["b3"] == f"{1:032x}-{last}-1"
    with pytest.raises(IndexError):
        carriers[1001]
