"""A resumed run restores to each step its own result, whatever has become of the list of steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from core_doubles import RecordingServer, RecordingStorage, fail, recording_config

from dotflow import Context, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core.exception import AmbiguousResume
from dotflow.providers import StorageDefault, StorageFile

MODES = ["sequential", "background", "sequential_group"]


def named(name):
    """A step whose result says who it is, and what it was given."""

    def step(initial_context, previous_context):
        with Path("ran").open("a") as file:
            file.write(name)
        return name, initial_context.storage, previous_context.storage

    step.__qualname__ = step.__name__ = name
    return action(step)


a, b, c, x = (named(name) for name in "abcx")


class TwoArguments(Storage):
    """A storage as written for upstream, that can post and get only."""

    def __init__(self):
        self.kept = {}

    def post(self, key, context):
        self.kept[key] = context

    def get(self, key):
        return self.kept.get(key, Context())

    def key(self, task):
        return f"{task.workflow_id}-{task.task_id}"


@pytest.fixture(params=[StorageFile, StorageDefault, TwoArguments])
def run(request, record):
    """Runs steps, each of them alone or with its input, and says which ran and what came of it."""
    storage = request.param()

    def run(steps, mode="sequential", resume=True, **kwargs):
        flow = DotFlow(config=recording_config(record, storage=storage), workflow_id="w")
        for step in steps:
            one, given = step if isinstance(step, tuple) else (step, None)
            flow.task.add(one, initial_context=given)
        Path("ran").write_text("")
        manager = flow.start(mode=mode, resume=resume, **kwargs)
        if mode == "background":
            manager.thread.join()
        run.results = flow.result_storage()
        run.tasks = flow.task.queue
        return Path("ran").read_text()

    run.storage = storage
    return run


def who(results):
    return "".join(result[0] for result in results)


CHANGES = [
    ([a, b, c], [a, b, c], ""),
    ([a, b], [a, b, c], "c"),  # one more at the end
    ([a, b, c], [a, b], ""),
    ([a, b, c], [x, a, b, c], "xabc"),  # in front: all that comes after has another input
    ([a, b, c], [a, x, b, c], "xbc"),
    ([a, b, c], [a, x, c], "xc"),  # in the place of another
    ([a, b, c], [b, c], "bc"),
    ([a, b, c], [b, a, c], "bac"),
    ([(a, 1), (a, 2)], [(a, 0), (a, 1), (a, 2)], "aaa"),
    ([(a, 1), (a, 2)], [(a, 1), (a, 2), (a, 3)], "a"),
    ([(a, 1), (a, 2)], [(a, 2), (a, 1)], "aa"),
    ([(a, 1), (a, 2), (a, 3)], [(a, 1), (a, 3)], "a"),
    ([(a, {"x", "y"}), b], [(a, {"y", "x"}), b], ""),
    ([a, a, b], [a, a, b], ""),
    ([a, b], [a, b, a], "a"),
    ([a, b, a], [a, b, c], "c"),
    ([a, a, b], [a, a, c], "c"),
    ([a, b, a, c], [a, b, a], ""),
    ([(a, 1), a], [(a, 1), a, (a, 1)], "a"),
    ([a, b, a], [x, a, b, a], "xaba"),
]


@pytest.mark.parametrize("mode", ["sequential", "background"])
@pytest.mark.parametrize(("before", "now", "new"), CHANGES)
def test_lists_that_change(run, mode, before, now, new):
    """A step that was put in is run, with all that follows; nobody gets another's result."""
    lists_that_change(run, mode, before, now, new)


@pytest.mark.parametrize("run", [StorageFile], indirect=True)
@pytest.mark.parametrize(("before", "now", "new"), CHANGES[::4])
def test_lists_that_change_in_a_child(run, before, now, new):
    """The same where a group's child restores."""
    lists_that_change(run, "sequential_group", before, now, new)


def lists_that_change(run, mode, before, now, new):
    run(before, mode)
    assert run(now, mode) == new
    afresh = [step if isinstance(step, tuple) else (step, None) for step in now]
    assert [result[:2] for result in run.results] == [(one.name, given) for one, given in afresh]
    befores = [None, *run.results]
    assert all(result[2] == befores[number] for number, result in enumerate(run.results))
    assert run(now, mode) == ""


@pytest.mark.parametrize("first", [False, True])
def test_also_after_a_run_that_was_not_resumed(run, first):
    """Each run keeps what its steps are; a later resume compares itself with the last."""
    run([a, b], resume=first)
    run([c, b], resume=False)
    assert run([c, b]) == ""
    assert who(run.results) == "cb"
    assert run([a, b]) == "ab"


def test_a_run_that_is_begun_anew_and_stops(run):
    """What is left of a list of other steps is not restored when the new run is resumed."""
    run([a, b, c])
    run([x, fail, c], resume=False)
    assert run([x, b, c]) == "bc"
    assert who(run.results) == "xbc"


def test_another_input_is_an_affair_of_the_policy(run):
    """With the same steps another input is reused, reset or refused, as on_input_change says."""
    run([(a, 1), b])
    assert run([(a, 2), b]) == ""
    assert [result[1] for result in run.results] == [1, None]
    assert run([(a, 2), b], on_input_change="reset") == "ab"
    assert [result[1] for result in run.results] == [2, None]


def test_a_reused_result_stays_that_of_its_input(run):
    """A result that was reused for another input is still known as that of its own."""
    run([(a, 1), (a, 5)])
    run([(a, 2), (a, 5)])
    assert run([x, (a, 1), (a, 5)]) == "xaa"
    run([(a, 1), (a, 5)])
    assert run([(a, 5), (a, 1)]) == "aa"


def test_groups_are_apart(run):
    """A step that changed in one group leaves the results of another."""

    def grouped(steps):
        flow = DotFlow(config=recording_config(run.record, storage=run.storage), workflow_id="w")
        for step, group in steps:
            flow.task.add(step, group_name=group)
        Path("ran").write_text("")
        flow.start(resume=True)
        return "".join(sorted(Path("ran").read_text()))

    run.record = lambda *args: None
    assert grouped([(a, "1"), (b, "2"), (a, "1"), (b, "2")]) == "aabb"
    assert grouped([(x, "1"), (b, "2"), (a, "1"), (b, "2")]) == "ax"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([a], [a, a]),
        ([a, a], [a]),
        ([b, a, a], [b, a, a, a]),
        ([(a, 1)] * 2, [(a, 1)] * 3),
        ([a, b], [a, a, b]),
        ([a, b, a, b], [a, b, a, b, a, b]),
    ],
)
def test_steps_that_cannot_be_told_apart(run, record, before, now):
    """Where nobody can tell which of equal steps has a result, that is an error that says so."""
    run(before)
    record.clear()
    with pytest.raises(
        AmbiguousResume, match=r"Workflow 'w' cannot be resumed: step '[ab]' is there"
    ):
        run(now)
    assert record.starting("tracer", "metrics", "server.update", "notify.hook") == []
    assert run(before) == ""  # nothing is lost by it
    assert run(now, resume=False) == "".join(
        (step[0] if isinstance(step, tuple) else step).name for step in now
    )
    assert run(now) == ""


def test_parallel_neither_restores_nor_refuses(run):
    """In parallel all steps run, whatever was kept; what they are is kept for a later resume."""
    run([a])
    assert run([a, a], mode="parallel") == "aa"
    assert run([a, a]) == ""


def test_results_without_a_word_of_their_steps(run):
    """What an earlier release has kept, which did not say whose it is, is restored as ever."""
    run([a, b])
    run.storage.post("w-_steps", Context(None))
    assert run([a, b]) == ""
    for odd in (
        [],
        {"steps": 1, "last": []},
        {"steps": {"x": []}, "last": [1]},
        {"last": [7]},
        "x",
    ):
        run.storage.post("w-_steps", Context(odd))
        assert run([a, b]) == ""


class TestNames:
    """What a step is called."""

    def test_steps_of_the_same_name(self, run):
        """Functions of the same name in other modules or classes are other steps."""

        class One:
            @action
            def load(self):
                return "one"

        class Other:
            @action
            def load(self):
                return "other"

        run([One().load])
        run([Other().load])
        assert run.results == ["other"]
        other = named("a")
        other.func.__module__ = "other"
        run([a])
        assert run([other]) == "a"

    def test_what_partial_binds(self, run):
        """What is bound by functools.partial is a part of a step's input."""

        def load(source, *, more=None):
            return source, more

        def steps(*sources):
            return [action(partial(partial(load, source), more={source})) for source in sources]

        run(steps("a", "b"))
        run(steps("new", "a", "b"))
        assert [result[0] for result in run.results] == ["new", "a", "b"]
        assert [task.restored for task in run.tasks] == [False] * 3
        run(steps("new", "a", "b"))
        assert [task.restored for task in run.tasks] == [True] * 3

    @pytest.mark.parametrize("first", ["script", "module", "import"])
    def test_a_script_and_its_module(self, first):
        """A workflow is resumed as a script that was begun as a module, and the reverse."""
        Path("etl.py").write_text(
            "from dotflow import Config, DotFlow, action\n"
            "from dotflow.providers import StorageFile\n"
            "class Source:\n"
            "    def __init__(self): self.names = {'a', 'b'}\n"
            "@action\n"
            "def extract():\n"
            "    print('ran')\n"
            "    return 1\n"
            "def pipeline():\n"
            "    flow = DotFlow(config=Config(storage=StorageFile(path='out')), workflow_id='w')\n"
            "    flow.task.add(extract, initial_context=[Source(), Source])\n"
            "    flow.start(resume=True, on_input_change='raise')\n"
            "if __name__ == '__main__':\n"
            "    pipeline()\n"
        )
        ways = {
            "script": ["etl.py"], "module": ["-m", "etl"],
            "import": ["-c", "import etl; etl.pipeline()"],
        }  # fmt: skip
        said = [
            subprocess.run(
                [sys.executable, *ways[way]], capture_output=True, text=True, timeout=60, check=True
            ).stdout
            for way in (first, *ways)
        ]
        assert said == ["ran\n", "", "", ""]


def test_a_managed_run_whose_numbers_go_on(record):
    """Where numbers go on from run to run each run's steps are those of its own numbers."""
    storage = RecordingStorage(record)

    def start(steps, number, **kwargs):
        server = RecordingServer(record, next_task_id=number)
        config = recording_config(record, storage=storage, server=server)
        flow = DotFlow(config=config, workflow_id="w")
        flow.task.add(steps)
        Path("ran").write_text("")
        flow.start(**kwargs)
        return Path("ran").read_text()

    assert start([a, b], 1) == "ab"
    assert start([a, b], 3) == "ab"
    assert start([a, b], 5, resume=True) == ""
    assert start([a, x, b], 5, resume=True) == "xb"
    assert start([x, a, b], 6, resume=True) == "xab"


def test_after_a_kill():
    """A process that is killed leaves what its steps were beside their results."""
    program = (
        "import os, signal, sys\n"
        "from dotflow import Config, DotFlow, action\n"
        "from dotflow.providers import StorageFile\n"
        "@action\n"
        "def one(initial_context): print('one', flush=True); return {initial_context.storage}\n"
        "@action\n"
        "def two(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "flow = DotFlow(config=Config(storage=StorageFile(path='out')), workflow_id='w')\n"
        "for value in sys.argv[1:]: flow.task.add(one, initial_context=value)\n"
        "flow.task.add(two)\n"
        "flow.start(resume=True)\n"
    )
    for values, ran in (("ab", 2), ("ab", 0), ("abc", 1), ("xabc", 4)):
        done = subprocess.run(
            [sys.executable, "-c", program, *values], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL
        assert done.stdout == "one\n" * ran
    said = json.loads(json.loads(Path("out/tasks/w-_steps").read_text())[0])
    assert said["last"] == [1, 2, 3, 4, 5]
    assert [name for name, _ in said["steps"].values()] == ["__main__.one"] * 4 + ["__main__.two"]


def test_a_run_that_nobody_can_resume_keeps_no_more(record):
    """In memory, under an id that dotflow made, nothing is kept but results."""
    storage = StorageDefault()
    flow = DotFlow(config=recording_config(record, storage=storage))
    flow.task.add([a, b])
    flow.start()
    assert list(storage.list_keys("")) == [f"{flow.workflow_id}-1", f"{flow.workflow_id}-2"]


def test_a_storage_that_does_not_take_it(record):
    """Where only that cannot be kept the run goes on, and it is counted."""

    class Partly(RecordingStorage):
        def post(self, key, context, ttl=None, fingerprint=None):
            if key.endswith("_steps"):
                raise OSError("disk full")
            super().post(key, context, ttl, fingerprint)

    flow = DotFlow(config=recording_config(record, storage=Partly(record)), workflow_id="w")
    flow.task.add(a)
    flow.start()
    assert flow.task.queue[0].status == "Completed"
    assert flow.config.guard.failures == {"Partly.post": 1}


def test_what_the_steps_were_that_cannot_be_read(record):
    """A resumed run does not guess: what the storage raises surfaces, and nothing is run."""

    class Unreadable(RecordingStorage):
        def get(self, key):
            if key.endswith("_steps"):
                raise OSError(os.strerror(5))
            return super().get(key)

    flow = DotFlow(config=recording_config(record, storage=Unreadable(record)), workflow_id="w")
    flow.task.add(a)
    flow.start()
    Path("ran").write_text("")
    with pytest.raises(OSError, match=os.strerror(5)):
        flow.start(resume=True)
    assert Path("ran").read_text() == ""


def test_a_workflow_without_steps(record):
    """Where there are no steps nothing is kept of them."""
    flow = DotFlow(config=recording_config(record, storage=StorageDefault()), workflow_id="w")
    flow.start()
    assert list(flow.config.storage.list_keys("")) == []


def test_a_storage_that_raises_for_what_is_not_there(record, caplog):
    """A storage that nobody has resumed from may raise for an unknown key: nothing is said."""

    class Strict(TwoArguments):
        def get(self, key):
            return self.kept[key]

    flow = DotFlow(config=recording_config(record, storage=Strict()), workflow_id="w")
    flow.task.add([a, b])
    flow.start()
    assert [task.status for task in flow.task.queue] == ["Completed"] * 2
    assert (flow.config.guard.failures, caplog.messages) == ({}, [])
