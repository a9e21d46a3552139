"""What ServerOtel counts and measures of runs, on a meter provider of the application's."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import SpanContext
from support.fault_server import TOKEN, FaultServer, status

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.otel.metrics import labels
from dotflow.providers import LogDefault, StorageFile


@action
def fine():
    return 1


@action
def fails():
    raise ValueError("no rows")


@action(retry=3, retry_delay=0)
def hopeless():
    raise OSError("away")


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture
def server(provider):
    server = ServerOtel(meter_provider=provider, set_global=False)
    yield server
    server.close(60)


def run(server, *steps, name="etl", group="default", **kwargs):
    log = LogDefault(level="ERROR", output="file")
    workflow = DotFlow(config=Config(server=server, log=log), name=name)
    for step in steps:
        workflow.task.add(step, group_name=group)
    return workflow.start(keep_going=True, **kwargs)


def points(reader, name):
    data = reader.get_metrics_data()
    scopes = [] if data is None else data.resource_metrics[0].scope_metrics
    found = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
    return [point for metric in found for point in metric.data.data_points]


def values(reader, name, *attributes):
    """A number of each point, by the values of attributes: of a histogram the count."""
    return {
        tuple(point.attributes.get(one) for one in attributes): getattr(point, "value", None)
        if hasattr(point, "value") else point.count
        for point in points(reader, name)
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_runs_and_tasks_are_measured_and_retries_counted(server, reader, mode):
    """Each run, task and retry is there once, wherever its step ran, with names and no ids."""
    manager = run(server, fine, fine, fails, hopeless, mode=mode)
    run(server, fine, name=None)
    data = _all(reader)
    tasks = {
        (
            one.attributes.get("dotflow.workflow.name"), one.attributes["dotflow.task.name"],
            one.attributes["dotflow.task.status"], one.attributes.get("error.type"),
        ): one.count
        for one in data["dotflow.task.duration"]
    }  # fmt: skip
    assert tasks == {
        ("etl", "fine", "Completed", None): 2,
        ("etl", "fails", "Failed", "ValueError"): 1,
        ("etl", "hopeless", "Failed", "OSError"): 1,
        (None, "fine", "Completed", None): 1,
    }
    runs = {
        (
            one.attributes.get("dotflow.workflow.name"),
            one.attributes["dotflow.workflow.status"], one.attributes.get("error.type"),
        ): one.count
        for one in data["dotflow.workflow.duration"]
    }  # fmt: skip
    assert (None, "Completed", None) in runs
    assert [key[1] for key in runs if key[0]] == ["Failed"]
    [retries] = data["dotflow.task.retries"]
    assert (retries.value, retries.attributes["error.type"]) == (2, "OSError")
    known = {name for found in data.values() for one in found for name in one.attributes}
    assert not [name for name in known if name.endswith(".id")]
    traces = {
        one.trace_id for point in data["dotflow.task.duration"] for one in point.exemplars
        if point.attributes.get("dotflow.workflow.name")
    }  # fmt: skip
    assert traces == {int(manager.trace_id, 16)}


def _all(reader):
    data = reader.get_metrics_data()
    scopes = data.resource_metrics[0].scope_metrics
    return {metric.name: metric.data.data_points for scope in scopes for metric in scope.metrics}


def test_what_is_under_way_is_counted_and_then_is_none(server, reader):
    """While a step runs its run and task are active; afterwards they are 0, not gone."""
    begun, go_on = threading.Event(), threading.Event()

    @action
    def waits():
        begun.set()
        go_on.wait(60)

    manager = run(server, waits, mode="background", group="night")
    assert begun.wait(60)
    names = "dotflow.workflow.name", "dotflow.task.name", "dotflow.task.group"
    assert values(reader, "dotflow.task.active", *names) == {("etl", "waits", "night"): 1}
    assert values(reader, "dotflow.workflow.active", names[0]) == {("etl",): 1}
    go_on.set()
    assert manager.wait(60)
    assert values(reader, "dotflow.task.active", *names) == {("etl", "waits", "night"): 0}
    assert values(reader, "dotflow.workflow.active", names[0]) == {("etl",): 0}


def test_restored_tasks_take_no_time(server, reader, tmp_path):
    """A resumed run is measured; of its tasks only those that were run."""
    config = Config(
        server=server, storage=StorageFile(path=tmp_path / "kept"),
        log=LogDefault(level="ERROR", output="file"),
    )  # fmt: skip
    for resume in (False, True):
        workflow = DotFlow(config=config, name="etl", workflow_id="orders")
        workflow.task.add(fine)
        workflow.task.add(fails)
        workflow.start(resume=resume)
    found = values(reader, "dotflow.task.duration", "dotflow.task.name")
    assert found == {("fine",): 1, ("fails",): 2}
    assert values(reader, "dotflow.workflow.duration", "dotflow.workflow.status") == {
        ("Failed",): 2
    }


def test_names_made_from_data_do_not_grow_without_end(server, reader, monkeypatch):
    """Beyond so many different attributes all else is together, and all of it is counted."""
    monkeypatch.setattr(labels, "MOST", 3)
    for number in range(5):
        run(server, fine, name=f"customer {number}")
    found = points(reader, "dotflow.task.duration")
    assert len(found) == 4
    assert sum(one.count for one in found) == 5
    assert [one.count for one in found if one.attributes.get("otel.metric.overflow")] == [2]


def test_pipelines_are_there_if_they_are_wanted(provider, reader, monkeypatch):
    """OpenTelemetry's own names of runs of pipelines stand beside ours, by its variable."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "http,cicd")
    server = ServerOtel(meter_provider=provider, set_global=False)
    run(server, fine)
    run(server, fails)
    names = "cicd.pipeline.name", "cicd.pipeline.result", "error.type"
    found = values(reader, "cicd.pipeline.run.duration", *names)
    assert found == {("etl", "success", None): 1, ("etl", "failure", "ValueError"): 1}
    errors = values(reader, "cicd.pipeline.run.errors", names[0], names[2])
    assert errors == {("etl", "ValueError"): 1}
    assert values(reader, "dotflow.workflow.duration", "dotflow.workflow.name")
    server.close(60)


def test_the_outbox_says_what_waits_and_what_was_delivered(provider, reader, tmp_path):
    """While dotflow-api is away its messages wait, and grow old; then they were delivered."""
    api = FaultServer()
    try:
        server = ServerOtel(api.url, TOKEN, meter_provider=provider, set_global=False)
        api.on("POST|PATCH", status(503))
        run(server, fine)
        server.flush(3)
        where = "dotflow.outbox.destination"
        [(name, waiting)] = values(reader, "dotflow.outbox.pending", where).items()
        assert api.url in name[0]
        assert TOKEN not in name[0]
        assert waiting > 0
        assert values(reader, "dotflow.outbox.oldest_age", where)[name] > 0
        api.well()
        assert server.flush(60).complete
        assert values(reader, "dotflow.outbox.pending", where) == {name: 0}
        assert values(reader, "dotflow.outbox.oldest_age", where) == {name: 0}
        assert values(reader, "dotflow.outbox.delivered", where)[name] >= waiting
        assert values(reader, "dotflow.outbox.dead", where) == {name: 0}
        server.close(60)
        assert values(reader, "dotflow.outbox.delivered", where)[name] >= waiting
    finally:
        api.close()


def test_many_ends_are_recorded_while_nobody_collects(server, provider, reader, monkeypatch):
    """Beyond so many a thread records what ended: nothing is lost, and nothing piles up."""
    from dotflow.otel.metrics.provider import tally_of

    tally = tally_of(provider)
    monkeypatch.setattr(tally, "most", 10)
    run(server, *[fine] * 60)
    for thread in threading.enumerate():
        if thread.name == "dotflow-metrics-tally":
            thread.join(60)
    assert len(tally.tasks) < 60
    assert sum(one.count for one in points(reader, "dotflow.task.duration")) == 60


class Comes:
    """The time of a thread that records, in whose sleep tasks end."""

    def __init__(self, tally, each):
        self.tally, self.each, self.now = tally, list(each), 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        span = SpanContext(1, 2, False)
        ended = (None, "fine", "default", "Completed", 0.1, None, span)
        self.tally.tasks.extend([ended] * (self.each.pop(0) if self.each else 0))


@pytest.mark.parametrize(
    ("each", "held", "left"),
    [([100] * 8, 10_000, 0), ([1] * 8, 10_000, 6), ([100] * 8, 300, 5)],
    ids=["fast", "slow", "many"],
)
def test_ends_that_come_fast_are_recorded_afterwards(each, held, left, provider, monkeypatch):
    """To record costs more than a task: it waits for a moment's pause, or until too many wait."""
    from dotflow.otel.metrics import tally as module
    from dotflow.otel.metrics.provider import tally_of

    tally = tally_of(provider)
    time = Comes(tally, each)
    monkeypatch.setattr(module, "time", time)
    monkeypatch.setattr(module, "MOST_HELD", held)
    tally._wait_for_calm()
    assert len(time.each) == left
    tally.record()
    assert not tally.tasks
