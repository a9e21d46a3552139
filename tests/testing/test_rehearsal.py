"""`dotflow.testing.rehearsal`: nothing is reported, nothing is waited for, and all is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from support.fault_server import TOKEN, FaultServer
from support.otlp import OtlpReceiver

from dotflow import Config, DotFlow, action
from dotflow.abc.facts import Retried, RunBegan, RunEnded
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, ServerAPI, ServerDefault, StorageFile
from dotflow.runlog import files
from dotflow.testing import rehearsal

LONG = 3600.0  # seconds, which no test waits
MODES = ("sequential", "sequential_group", "background", "parallel")


@action
def extract(initial_context):
    return {"rows": initial_context.storage}


@action
def total(previous_context):
    return sum((previous_context.storage or {}).get("rows", [0]))


@action(retry=3, retry_delay=LONG, backoff=True)
def stubborn(initial_context):
    raise ValueError(f"no {initial_context.storage}")


@action
def nested():
    flow = quiet(DotFlow)
    flow.task.add(extract, initial_context=[1])
    flow.start()
    return flow.result_storage()


def quiet(make, **config):
    return make(config=Config(log=LogDefault(level="ERROR"), **config))


def workflow(**config):
    flow = quiet(DotFlow, **config)
    flow.task.add(extract, initial_context=[1, 2]).add(total)
    return flow


def start(flow, mode="sequential", **more):
    manager = flow.start(mode=mode, **more)
    if mode == "background":
        manager.thread.join()
    return manager


@pytest.mark.parametrize("mode", MODES)
def test_what_ran_and_with_which_contexts(mode):
    """Names, order, contexts, results and statuses are there, whatever the mode."""
    with rehearsal() as found:
        start(workflow(), mode)
    assert sorted(found.ran) == ["extract", "total"]
    assert found.status == "Completed"
    assert found.run.mode == mode
    one, two = found.tasks
    assert (one.name, one.initial, one.result, one.attempts) == (
        "extract", [1, 2], {"rows": [1, 2]}, 1,
    )  # fmt: skip
    if mode != "parallel":
        assert (two.previous, two.result) == ({"rows": [1, 2]}, 3)
    assert found.statuses == {"extract": "Completed", "total": "Completed"}
    assert found.errors == []
    assert one.duration >= 0


@pytest.mark.parametrize("mode", MODES)
def test_no_delay_is_waited_for(mode):
    """A step with hours between its attempts fails at once, with all its errors."""
    flow = quiet(DotFlow)
    flow.task.add(stubborn, initial_context="luck")
    with rehearsal() as found:
        start(flow, mode)
    assert found.status == "Failed"
    assert found.attempts("stubborn") == 3
    task = found.task("stubborn")
    assert [error.message for error in task.errors] == ["no luck"] * 3
    assert [error.exception for error in found.errors] == ["ValueError"] * 3
    assert (task.status, task.result) == ("Failed", None)
    assert sum(isinstance(fact, Retried) for fact in found.facts) == 2


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_child_that_is_not_forked(tmp_path, method):
    """The child that is started anew skips delays too, and a workflow within it is not reported."""
    program = tmp_path / "program.py"
    program.write_text(
        "import os\n"
        "from dotflow import DotFlow, action\n"
        "from dotflow.testing import rehearsal\n"
        "@action(retry=2, retry_delay=3600)\n"
        "def step():\n"
        "    raise ValueError(os.environ['DOTFLOW_SERVER'])\n"
        "if __name__ == '__main__':\n"
        "    flow = DotFlow()\n"
        "    flow.task.add(step)\n"
        "    with rehearsal() as found:\n"
        "        flow.start(mode='parallel', start_method=__import__('sys').argv[1])\n"
        "    print(found.attempts('step'), found.errors[0].message)\n"
    )
    done = subprocess.run(
        [sys.executable, program, method], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "2 none\n", done.stderr


@pytest.mark.slow
def test_nothing_is_reported_whatever_the_server(monkeypatch):
    """No socket and no file is touched, also by Configs that were made before, in each mode."""
    api = FaultServer()
    monkeypatch.setenv("DOTFLOW_SERVER_URL", api.url)
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)
    with OtlpReceiver() as otlp:
        servers = [
            ServerDefault(), ServerAPI(api.url, TOKEN), ServerOtel(endpoint=otlp.http_url), None,
        ]  # fmt: skip
        configs = [Config(server=one, log=LogDefault(level="ERROR")) for one in servers]
        with rehearsal() as found:
            for config in configs:
                for mode in MODES:
                    flow = DotFlow(config=config)
                    flow.task.add(extract, initial_context=1).add(nested)
                    start(flow, mode)
                flow = DotFlow(config=config, workflow_id="from outside")
                flow.task.add(extract, initial_context=1)
                start(flow)
        for config in configs:
            assert config.server.flush(60).complete
            config.server.close()
        assert api.seen == []
        assert list(otlp.spans) == []
    api.close()
    assert files.logs() == {}
    # In processes of their own the nested runs are seen by nobody.
    assert len(found.runs) == 4 * 5 + 4 * 2


def test_afterwards_all_is_as_before(monkeypatch):
    """What runs after the rehearsal is reported, by the very same Config."""
    api = FaultServer()
    config = Config(server=ServerDefault(api.url, TOKEN), log=LogDefault(level="ERROR"))
    monkeypatch.setenv("DOTFLOW_SERVER", "auto")
    with rehearsal():
        assert os.environ["DOTFLOW_SERVER"] == "none"
        DotFlow(config=config)
    assert os.environ["DOTFLOW_SERVER"] == "auto"
    flow = DotFlow(config=config)
    flow.task.add(extract, initial_context=1)
    flow.start()
    assert config.server.close(30).complete
    assert [one["status"] for one in api.workflows.values()] == ["Completed"]
    api.close()


def test_the_environment_is_restored_where_the_test_fails():
    """An assertion within leaves nothing behind."""

    def rehearse():
        with rehearsal() as found:
            start(workflow())
            assert found.ran == []

    with pytest.raises(AssertionError):
        rehearse()
    assert "DOTFLOW_SERVER" not in os.environ
    with rehearsal() as found:
        start(workflow())
    assert len(found.runs) == 1


def test_rehearsals_nest():
    """Each sees what happens within it, and the outer one goes on."""
    with rehearsal() as outer:
        start(workflow())
        with rehearsal() as inner:
            start(workflow())
        assert os.environ["DOTFLOW_SERVER"] == "none"
        start(workflow())
    assert (len(outer.runs), len(inner.runs)) == (3, 1)


def test_a_background_run_is_waited_for():
    """What was started within is seen to its end, though nobody has joined its thread."""
    go_on = threading.Event()

    @action
    def slow():
        assert go_on.wait(60)

    flow = quiet(DotFlow)
    flow.task.add(slow)
    timer = threading.Timer(0.1, go_on.set)
    with rehearsal() as found:
        manager = flow.start(mode="background")
        timer.start()
    assert found.status == "Completed"
    timer.join()
    manager.thread.join()


def test_a_background_run_without_an_end(monkeypatch):
    """It is named, and the remedy."""
    monkeypatch.setattr("dotflow.testing.rehearsing.PATIENCE", 0.05)
    go_on = threading.Event()

    @action
    def slow():
        assert go_on.wait(60)

    flow = DotFlow(config=Config(log=LogDefault(level="ERROR")), name="nightly")
    flow.task.add(slow)
    with pytest.raises(RuntimeError, match="nightly did not end.*join its thread"), rehearsal():  # noqa: RUF043
        manager = flow.start(mode="background")
    go_on.set()
    manager.thread.join()


def in_background(flow, go_on):
    """Begin a run whose first step waits."""

    @action
    def waits():
        assert go_on.wait(60)

    flow.task.add([waits, total])
    return flow.start(mode="background")


def test_a_run_belongs_to_where_it_began(monkeypatch):
    """One of a rehearsal is never reported, and one that began before is, from end to end."""
    monkeypatch.setattr("dotflow.testing.rehearsing.PATIENCE", 0.05)
    api, before, within = FaultServer(), threading.Event(), threading.Event()
    config = Config(server=ServerDefault(api.url, TOKEN), log=LogDefault(level="ERROR"))
    first, second = DotFlow(config=config), DotFlow(config=config)
    began = in_background(first, before)
    with pytest.raises(RuntimeError, match="did not end"), rehearsal() as found:  # noqa: PT012
        manager = in_background(second, within)
        before.set()
        began.thread.join()
    within.set()
    manager.thread.join()
    assert config.server.close(60).complete
    api.close()
    assert api.workflows[str(first.workflow_id)]["status"] == "Completed"
    assert {api.tasks[str(first.workflow_id), number]["status"] for number in (1, 2)} == {
        "Completed"
    }
    assert api.workflows[str(second.workflow_id)]["status"] == "New"  # made before the rehearsal
    assert [run.workflow_id for run in found.runs] == [str(second.workflow_id)]


def test_threads_of_a_test_are_rehearsed_too():
    """Runs in several threads at a time are seen apart."""
    flows = [workflow() for _ in range(4)]
    with rehearsal() as found:
        threads = [threading.Thread(target=flow.start) for flow in flows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(run.workflow_id for run in found.runs) == sorted(
        str(f.workflow_id) for f in flows
    )
    assert [run.ran for run in found.runs] == [["extract", "total"]] * 4
    assert found.attempts("extract") == 4


def test_a_task_that_never_ran_and_one_that_was_restored(tmp_path):
    """What a failed task stopped is "Not started"; a checkpoint is no run of the step."""

    @action
    def fails():
        raise LookupError("gone")

    def flow():
        made = DotFlow(
            config=Config(storage=StorageFile(path=tmp_path), log=LogDefault(level="ERROR")),
            workflow_id="kept",
        )
        made.task.add(extract, initial_context=[5]).add(fails).add(total)
        return made

    with rehearsal() as first:
        start(flow())
    assert first.ran == ["extract", "fails"]
    assert first.statuses == {"extract": "Completed", "fails": "Failed", "total": "Not started"}
    assert first.task("total").attempts == 0
    with rehearsal() as second:
        start(flow(), resume=True)
    assert second.ran == ["fails"]
    restored = second.task("extract")
    assert (restored.is_restored, restored.attempts, restored.result) == (True, 0, {"rows": [5]})


def test_facts_are_there_in_their_order():
    """The facts of the engine, of the run and of the rehearsal, begin and end with the run's."""
    with rehearsal() as found:
        start(workflow())
    facts = found.run.facts
    assert isinstance(facts[0], RunBegan)
    assert isinstance(facts[-1], RunEnded)
    assert [fact.n for fact in found.facts] == sorted(fact.n for fact in found.facts)
    assert set(facts) < set(found.facts)
    assert "extract: Completed" in repr(found)


def test_what_is_not_there_is_said():
    """A wrong name lists those that there are; several runs are not one."""
    with rehearsal() as found:
        with pytest.raises(LookupError, match="no workflow was started"):
            found.run  # noqa: B018
        start(workflow())
        start(workflow())
    with pytest.raises(LookupError, match="2 runs"):
        found.status  # noqa: B018
    with pytest.raises(LookupError, match="2 tasks with the step 'total'"):
        found.task("total")
    with pytest.raises(LookupError, match="'totl'; the tasks are: 'extract', 'total'"):
        found.runs[0].task("totl")
    assert found.runs[1].task("total").result == 3


def test_timeouts_are_as_ever():
    """A limit holds in a rehearsal too."""
    ended = threading.Event()

    @action(timeout=0.05)
    def slow():
        ended.wait(60)

    flow = quiet(DotFlow)
    flow.task.add(slow)
    began = time.monotonic()
    with rehearsal() as found:
        start(flow)
    ended.set()
    assert time.monotonic() - began < 50
    assert found.errors[0].message.startswith("timed out")
