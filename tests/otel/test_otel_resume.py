"""A resumed run shows what it restored, and leads to the run that did the work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow import Context, DotFlow, action
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage
from dotflow.providers import StorageDefault, StorageFile

MODES = ["sequential", "background", "sequential_group"]

fails = {}


@action
def one():
    return {"rows": [1, 2]}


@action
def two(previous_context):
    if fails.get("two"):
        raise ConnectionError("not now")
    return len(previous_context.storage["rows"])


@action
def nothing():
    return None


class Plain(Storage):
    """A storage as the contract asks for it, and not more: `post` takes two arguments."""

    def __init__(self):
        self.kept = {}

    def post(self, key, context):
        self.kept[key] = context

    def get(self, key):
        return self.kept.get(key, Context())

    def key(self, task):
        return f"{task.workflow_id}-{task.task_id}"


@pytest.fixture
def traced(servers):
    """A server whose spans stay here, and the spans that have ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return servers(tracer_provider=provider), exporter.get_finished_spans


def run(config, wid, resume=False, mode="sequential", steps=(one, two)):
    flow = DotFlow(config=config, workflow_id=wid, name="etl")
    for step in steps:
        group = step.name if mode == "sequential_group" and step is not two else "default"
        flow.task.add(step, group_name=group)
    manager = flow.start(resume=resume, mode=mode)
    if mode == "background":
        manager.thread.join(30)
    return flow


def links_of(span):
    return [(one.context.span_id, dict(one.attributes)) for one in span.links]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [Plain, StorageDefault, lambda: StorageFile(path=".out")])
def test_a_restored_task_links_to_the_span_that_did_the_work(make, mode, traced, quiet):
    """Its span says that it was restored, takes no time, and leads to the first run's."""
    server, spans = traced
    wid = str(uuid4())
    steps = (one, one)
    first_config, second_config = quiet(server, storage=make()), None
    run(first_config, wid, mode=mode, steps=steps)
    first = spans()
    second_config = quiet(server, storage=first_config.storage)
    run(second_config, wid, resume=True, mode=mode, steps=steps)
    second = spans()[len(first):]  # fmt: skip

    assert len(first) == len(second) == 3
    assert links_of(second[-1]) == [
        (first[-1].context.span_id, {"dotflow.link.type": "earlier_run"})
    ]
    by_number = {span.attributes.get("dotflow.task.id"): span for span in first}
    for span in second[:-1]:
        work = by_number[span.attributes["dotflow.task.id"]]
        assert span.attributes["dotflow.task.restored"] is True
        assert work.attributes["dotflow.task.restored"] is False
        assert links_of(span) == [(work.context.span_id, {"dotflow.link.type": "restored_from"})]
        assert second[-1].start_time <= span.start_time <= span.end_time <= second[-1].end_time
        assert span.parent.span_id == second[-1].context.span_id
    assert not first_config.guard.failures
    assert not second_config.guard.failures


def test_the_link_leads_to_the_run_that_did_it_not_to_the_last(traced, quiet):
    """What the first run did and the second restored is the first's, in the third run too."""
    server, spans = traced
    config, wid = quiet(server, storage=StorageDefault()), str(uuid4())
    fails["two"] = True
    run(config, wid)
    fails.clear()
    run(config, wid, resume=True)
    run(config, wid, resume=True)
    first, _, root1, _, second, root2, *restored, root3 = spans()
    assert [links_of(span)[0][0] for span in restored] == [
        first.context.span_id, second.context.span_id,
    ]  # fmt: skip
    assert links_of(root1) == []
    assert links_of(root2)[0][0] == root1.context.span_id
    assert links_of(root3)[0][0] == root2.context.span_id


PROGRAM = """
    import os, signal, sys
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from dotflow.providers import LogDefault, StorageFile

    @action
    def one():
        return 1

    @action
    def two():
        if "killed" in sys.argv:
            server.flush(60)
            os.kill(os.getpid(), signal.SIGKILL)
        return 2

    if __name__ == "__main__":
        server = ServerOtel(endpoint=sys.argv[1])
        config = Config(server=server, storage=StorageFile(path=".out"),
                        log=LogDefault(level="ERROR"))
        flow = DotFlow(config=config, workflow_id=sys.argv[2], name="etl")
        flow.task.add(one).add(two)
        flow.start(resume=True)
        assert server.flush(60).complete
"""


@pytest.mark.slow
def test_another_process_finds_the_spans_of_one_that_was_killed(otlp, tmp_path):
    """The notes are on the disk when the result is: kill -9 takes none of them."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    wid = str(uuid4())
    command = [sys.executable, str(program), otlp.http_url, wid]
    killed = subprocess.run([*command, "killed"], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    work = next(span for span in otlp.wait_for(1, seconds=60) if span.name == "one")
    assert subprocess.run(command, check=False, timeout=120).returncode == 0

    # Perhaps with what was found of the killed one beside it.
    spans = otlp.spans
    [again] = [span for span in spans if span.attributes.get("dotflow.task.restored")]
    [root] = [span for span in spans if span.name == "etl" and span.links]
    assert again.name == "one"
    assert again.links == [(work.trace_id, work.span_id)]
    assert again.parent_id == root.span_id
    # The id of the first root is what its task names, whether or not it was ever sent.
    assert root.links == [(work.trace_id, work.parent_id)]
    assert again.trace_id == work.trace_id == root.trace_id


def test_checkpoints_without_notes_are_restored_as_ever(traced, quiet):
    """What was kept by a run that noted nothing is restored, and has no link."""
    server, spans = traced
    storage, wid = StorageFile(path=".out"), str(uuid4())
    for number, value in ((1, {"rows": [1]}), (2, 1)):
        (storage.path / f"{wid}-{number}.json").write_text(json.dumps([json.dumps(value)]))
    config = quiet(server, storage=storage)
    flow = run(config, wid, resume=True)
    assert flow.result_storage() == [{"rows": [1]}, 1]
    assert [span.attributes.get("dotflow.task.restored") for span in spans()] == [True, True, None]
    assert [span.links for span in spans()] == [(), (), ()]
    assert not config.guard.failures


@pytest.mark.parametrize(
    "note", ["text", 7, [], {}, {"traceparent": "00-zz"}, {"traceparent": None}, {"a": {}}]
)
def test_a_note_that_is_none_is_no_link(note, traced, quiet):
    """Whatever stands where a note should be, the run is resumed."""
    server, spans = traced
    storage, wid = Plain(), str(uuid4())
    storage.kept = {
        f"{wid}-1": Context({"rows": []}),
        f"{wid}-_note": Context(note),
        f"{wid}-_note-1": Context(note),
    }
    config = quiet(server, storage=storage)
    run(config, wid, resume=True, steps=(one,))
    assert [span.links for span in spans()] == [(), ()]
    assert spans()[0].attributes["dotflow.task.restored"] is True
    assert not config.guard.failures


def test_a_storage_that_takes_no_notes_keeps_the_results(traced, quiet):
    """A storage that refuses every key it does not know costs the links, and no task."""

    class Strict(Plain):
        def post(self, key, context):
            if "_note" in key:
                raise KeyError(key)
            super().post(key, context)

        def get(self, key):
            if key not in self.kept and "_note" in key:
                raise KeyError(key)
            return super().get(key)

    server, spans = traced
    config, wid = quiet(server, storage=Strict()), str(uuid4())
    run(config, wid)
    flow = run(config, wid, resume=True)
    assert [task.status for task in flow.result_task()] == ["Completed"] * 2
    assert flow.result_storage() == [{"rows": [1, 2]}, 2]
    assert len(spans()) == 6
    assert config.guard.failures["Strict.post"] == 4  # two of runs, two of tasks


def test_notes_are_no_results_and_go_with_them(traced, quiet):
    """Results are what they were, `clear` leaves nothing, and a task without one has no note."""
    server, _ = traced
    storage, wid = StorageFile(path=".out"), str(uuid4())
    flow = run(quiet(server, storage=storage), wid, steps=(one, two, nothing))
    assert flow.result_storage() == [{"rows": [1, 2]}, 2, None]
    notes = {f"{wid}-_note", f"{wid}-_note-1", f"{wid}-_note-2"}
    keys = {f"{wid}-{number}.json" for number in (1, 2, 3)}
    assert set(storage.list_keys(wid)) == notes | keys | {f"{wid}-_steps"}
    assert all(list(storage.list_keys(key)) == [key] for key in keys)
    storage.clear(wid)
    assert list(storage.path.iterdir()) == []


def test_a_server_that_notes_nothing_leaves_the_storage_alone(quiet):
    """Without telemetry a storage is asked for results alone."""

    class Mute(Server):
        def create_workflow(self, workflow): ...
        def update_workflow(self, workflow, status=""): ...
        def create_task(self, task): ...
        def update_task(self, task): ...

    asked = []

    class Watched(Plain):
        def get(self, key):
            asked.append(key)
            return super().get(key)

    storage, wid = Watched(), str(uuid4())
    run(quiet(Mute(), storage=storage), wid)
    run(quiet(Mute(), storage=storage), wid, resume=True)
    assert not [key for key in (*storage.kept, *asked) if "_note" in key]


def test_a_run_that_is_not_sampled_notes_nothing(otlp, servers, quiet, monkeypatch):
    """Its spans are nowhere: there is nothing to lead to."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    storage, wid = Plain(), str(uuid4())
    run(quiet(servers(endpoint=otlp.http_url), storage=storage), wid)
    assert sorted(storage.kept) == [f"{wid}-1", f"{wid}-2", f"{wid}-_steps"]
