"""Steps in child processes: what comes back, and what becomes of a child that dies."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from core_doubles import echo, fail, process_id

from dotflow import Context, DotFlow, action
from dotflow.core.children import child
from dotflow.core.children import lanes as processes
from dotflow.settings import Settings

LONG = 60  # seconds

IN_CHILDREN = ["sequential_group", "parallel"]
MEGABYTE = 1024 * 1024


def run(config, *steps, mode, **kwargs):
    flow = DotFlow(config=config)
    for step in steps:
        flow.task.add(step)
    flow.start(mode=mode, **kwargs)
    return flow.task.queue


@action
def big():
    return b"x" * (50 * MEGABYTE)


@pytest.mark.parametrize("mode", IN_CHILDREN)
def test_a_result_of_50_megabytes_comes_back(quiet, mode):
    """A result of any size comes back from a child."""
    (task,) = run(quiet, big, mode=mode)
    assert task.status == "Completed"
    assert len(task.current_context.storage) == 50 * MEGABYTE


@pytest.mark.parametrize("mode", IN_CHILDREN)
def test_many_results_above_a_pipes_buffer(quiet, mode):
    """Several results above 64 KiB come back, each from a child of its own or the same one."""

    @action
    def step():
        return "x" * 100_000

    tasks = run(quiet, *[step] * 6, mode=mode)
    assert [len(task.current_context.storage) for task in tasks] == [100_000] * 6


def test_a_large_result_goes_on_to_the_next_task(quiet):
    """A result above a pipe's buffer reaches the next task of the group."""

    @action
    def measure(previous_context):
        return len(previous_context.storage)

    assert run(quiet, big, measure, mode="sequential_group")[1].current_context.storage == (
        50 * MEGABYTE
    )


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@action
def terminated():
    os.kill(os.getpid(), signal.SIGTERM)


@action
def leaves():
    os._exit(3)


def lives_long():
    time.sleep(LONG)
    Path("has ended").touch()


@action
def killed_while_a_child_of_its_own_lives():
    grandchild = multiprocessing.get_context("fork").Process(target=lives_long)
    grandchild.start()
    Path("grandchild").write_text(str(grandchild.pid))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("mode", IN_CHILDREN)
@pytest.mark.parametrize(
    ("step", "words"),
    [(killed, "SIGKILL"), (terminated, "SIGTERM"), (leaves, "exit code 3")],
)
def test_a_child_that_dies_is_a_failed_task(record, recorded, mode, step, words):
    """A child that dies fails its task with an error that names the task and the signal."""
    before = time.time_ns()
    task, other = run(recorded, step, echo, mode=mode, keep_going=True)
    assert (task.status, other.status) == ("Failed", "Completed")
    (error,) = task.errors
    assert error.exception == "RuntimeError"
    assert words in error.message
    assert repr(step.name) in error.message
    assert error.error_type == ("RuntimeError" if step is leaves else "process_killed")
    assert before <= task.started_ns <= task.finished_ns
    assert record.starting("tracer.end_task 1") == ["tracer.end_task 1 Failed"]


FORKS = """
import os, signal, sys
from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault

deaths = []

def before():
    deaths.append(len(deaths) < int(sys.argv[2]))

def after():
    if deaths[-1]:
        os.kill(os.getpid(), signal.SIGKILL)

@action
def step():
    return 1

flow = DotFlow(config=Config(log=LogDefault(level="CRITICAL")))
flow.task.add([step])
os.register_at_fork(before=before, after_in_child=after)
flow.start(mode=sys.argv[1])
[task] = flow.task.queue
print(len(deaths), task.status, *(error.message for error in task.errors))
"""


@pytest.mark.parametrize("mode", IN_CHILDREN)
@pytest.mark.parametrize(
    ("times", "outcome"), [(0, "1 Completed"), (1, "2 Completed"), (2, "2 Failed the process of")]
)
def test_a_child_that_dies_as_it_is_forked_is_replaced_once(mode, times, outcome):
    """Its task had not begun: what a library does at a fork is no failure of the task's."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, mode, str(times)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(outcome)
    assert done.stderr.count("SIGKILL before it reported a result: another one") == min(times, 1)


def test_a_death_that_a_grandchild_hides_is_noticed(quiet, monkeypatch):
    """A killed child is noticed though a process that it made holds its descriptors open."""
    monkeypatch.setattr(processes, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(processes, "REAP_WAIT", 0.05)
    (task,) = run(quiet, killed_while_a_child_of_its_own_lives, mode="parallel")
    assert not Path("has ended").exists()
    os.kill(int(Path("grandchild").read_text()), signal.SIGKILL)
    assert "SIGKILL" in task.errors[0].message


def test_a_child_that_dies_while_it_tells_its_result(quiet, monkeypatch):
    """A child that is killed in the middle of its result is a failed task too."""

    def half(connection, *_rest):
        # What send_bytes writes first: the length of what follows.
        os.write(connection.fileno(), (1000).to_bytes(4, "big") + b"only this")
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(child, "_send_outcome", half)
    (task,) = run(quiet, echo, mode="parallel")
    assert task.status == "Failed"
    assert "SIGKILL" in task.errors[0].message


@pytest.mark.parametrize("mode", IN_CHILDREN)
def test_a_result_that_cannot_be_pickled_is_named(quiet, mode):
    """An unpicklable result fails its task with an error that names the step and the cause."""

    @action
    def step():
        return threading.Lock()

    task, other = run(quiet, step, echo, mode=mode, keep_going=True)
    assert (task.status, other.status) == ("Failed", "Completed")
    assert task.errors[0].exception == "PicklingError"
    assert "'step'" in task.errors[0].message
    assert "_thread.lock" in task.errors[0].message


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise LookupError("cannot be read back")


@pytest.mark.parametrize("mode", IN_CHILDREN)
def test_a_result_that_cannot_be_unpickled_is_named(quiet, mode):
    """A result that cannot be read in the parent fails its task only, and says why."""

    @action
    def step():
        return Unreadable()

    task, other = run(quiet, step, echo, mode=mode, keep_going=True)
    assert (task.status, other.status) == ("Failed", "Completed")
    assert "cannot be read back" in task.errors[0].message
    assert "'step'" in task.errors[0].message


def test_a_previous_context_that_cannot_be_pickled_is_named(quiet, monkeypatch):
    """What cannot be sent to a child fails the task that should get it, and says why."""
    kept = {1: Context(threading.Lock())}
    monkeypatch.setattr(quiet.storage, "key", lambda task: task.task_id)
    monkeypatch.setattr(quiet.storage, "get", lambda key: kept.get(key, Context()))
    first, second, third = run(
        quiet, echo, echo, process_id, mode="sequential_group", keep_going=True, resume=True
    )
    assert (first.status, second.status, third.status) == ("Completed", "Failed", "Completed")
    assert "input of step 'echo'" in second.errors[0].message
    assert "_thread.lock" in second.errors[0].message


def test_an_initial_context_that_cannot_be_pickled_works_where_it_is_forked(quiet):
    """Under fork an initial context needs no pickling."""
    flow = DotFlow(config=quiet)

    @action
    def call(initial_context):
        return initial_context.storage()

    flow.task.add(call, initial_context=lambda: 5)
    flow.start(mode="parallel")
    assert flow.result_storage() == [5]


@pytest.mark.parametrize("mode", IN_CHILDREN)
@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), GeneratorExit()])
def test_a_step_that_leaves_its_child_is_a_failed_task(quiet, mode, error):
    """A step that ends its process by an exception fails; the next task runs in another."""

    @action
    def step():
        raise error

    task, other = run(quiet, step, process_id, mode=mode, keep_going=True)
    assert (task.status, task.errors[0].exception) == ("Failed", type(error).__name__)
    assert other.status == "Completed"


def test_no_process_to_be_had(quiet, monkeypatch):
    """Where no process can be started the task fails with what the system said."""

    def refuse(self):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(multiprocessing.get_context("fork").Process, "start", refuse)
    (task,) = run(quiet, echo, mode="parallel")
    assert (task.status, task.errors[0].message) == ("Failed", "no more processes")
    assert type(task.errors[0].cause) is BlockingIOError


class TestParallel:
    """How many run at once, and what a failure stops."""

    @staticmethod
    def _step(limit):
        """A step that says how many run; while none has met another, each waits for one."""

        @action
        def count(initial_context):
            mine = Path(f"running-{os.getpid()}")
            mine.touch()
            time.sleep(0.05)
            deadline = time.monotonic() + LONG
            while limit > 1 and not Path("met").exists() and time.monotonic() < deadline:
                if len(list(Path().glob("running-*"))) > 1:
                    Path("met").touch()
                time.sleep(0.01)
            running = len(list(Path().glob("running-*")))
            mine.unlink()
            return running

        return count

    @pytest.mark.parametrize("limit", [1, 3])
    def test_bounded(self, quiet, monkeypatch, limit):
        """At most MAX_PROCESSES tasks run at once, and with several they do overlap."""
        monkeypatch.setattr(Settings, "MAX_PROCESSES", limit)
        tasks = run(quiet, *[self._step(limit)] * 7, mode="parallel")
        counted = [task.current_context.storage for task in tasks]
        assert max(counted) <= limit
        assert Path("met").exists() is (limit > 1)

    @pytest.mark.parametrize("keep_going", [False, True])
    def test_a_failure_stops_what_has_not_begun(self, quiet, monkeypatch, keep_going):
        """Without keep_going nothing is begun once a task has failed; with it all run."""
        monkeypatch.setattr(Settings, "MAX_PROCESSES", 1)
        tasks = run(quiet, echo, fail, echo, echo, mode="parallel", keep_going=keep_going)
        last = "Completed" if keep_going else "Not started"
        assert [task.status for task in tasks] == ["Completed", "Failed", last, last]
        assert Settings.MAX_PROCESSES == 1

    def test_what_has_begun_ends(self, quiet, monkeypatch):
        """A failure does not stop tasks that are under way."""
        monkeypatch.setattr(Settings, "MAX_PROCESSES", 2)

        @action
        def outlives():
            while not Path("failing").exists():
                time.sleep(0.01)
            time.sleep(0.3)

        @action
        def fails():
            Path("failing").touch()
            raise ValueError

        tasks = run(quiet, outlives, fails, echo, mode="parallel")
        assert [task.status for task in tasks] == ["Completed", "Failed", "Not started"]

    def test_descriptors_do_not_pile_up(self):
        """A run of many tasks needs few file descriptors."""
        program = (
            "import resource\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
            "from dotflow import DotFlow, action\n"
            "@action\n"
            "def step(): return 1\n"
            "flow = DotFlow()\n"
            "flow.task.add([step] * 40)\n"
            "flow.start(mode='parallel', keep_going=True)\n"
            "print(flow.result_storage() == [1] * 40)\n"
        )
        assert resource.RLIMIT_NOFILE is not None
        environment = {**os.environ, "DOTFLOW_MAX_PROCESSES": "4"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, timeout=30, check=True, env=environment,
        )  # fmt: skip
        assert done.stdout == "True\n", done.stderr[-2000:]


def test_children_call_no_provider(record, recorded):
    """Storage, log, notify and the rest are called by the parent process only."""
    run(recorded, echo, fail, mode="parallel")
    assert record.processes == {os.getpid()}


def test_children_notice_that_the_parent_is_gone(tmp_path):
    """Children end by themselves when the process that started them is killed."""
    program = (
        "import os, signal, sys\n"
        "from dotflow import DotFlow, action\n"
        "@action\n"
        "def note(initial_context):\n"
        "    open(f'child-{os.getpid()}', 'w').close()\n"
        "@action\n"
        "def kill_parent():\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "flow = DotFlow()\n"
        "flow.task.add(note, group_name='a').add(note, group_name='b')\n"
        "flow.task.add([note, kill_parent, note], group_name='c')\n"
        "flow.start(mode='sequential_group')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    children = {int(file.name.split("-")[1]) for file in tmp_path.glob("child-*")}
    assert children
    deadline = time.monotonic() + 60
    while (left := [pid for pid in children if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
