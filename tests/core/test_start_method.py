"""How child processes come to be: forked, from a fork server, or spawned; and what cannot be."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from core_doubles import RecordingServer, echo, process_id, recording_config

from dotflow import Context, DotFlow, action
from dotflow.core.children import start_method as methods
from dotflow.core.workflow import Manager
from dotflow.settings import START_METHODS, Settings, _one_of

pytestmark = pytest.mark.slow

METHODS = ["fork", "forkserver", "spawn"]
STARTED = ["forkserver", "spawn"]
MODES = ["sequential_group", "parallel"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The steps of core_doubles are found in a child too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def run_program(text, *arguments, **environment):
    """Run a script of its own; return what it wrote."""
    Path("program.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "program.py", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


class TestChoice:
    """Which method is used."""

    def test_the_default_is_the_systems_first(self):
        """Where nothing is said a child is forked, if the system can."""
        assert START_METHODS[0] == Settings.START_METHOD
        assert set(START_METHODS) == set(multiprocessing.get_all_start_methods())
        assert methods.start_method_of(None) == Settings.START_METHOD

    @pytest.mark.parametrize("value", ["spawn", "forkserver"])
    def test_the_variable_says_it(self, monkeypatch, value):
        """DOTFLOW_START_METHOD names the method."""
        monkeypatch.setenv("DOTFLOW_START_METHOD", value)
        assert _one_of("DOTFLOW_START_METHOD", METHODS) == value

    def test_a_wrong_variable_is_warned_of_once(self, monkeypatch, caplog):
        """Another value of the variable means the default, and one line says so."""
        monkeypatch.setenv("DOTFLOW_START_METHOD", "teleport")
        with caplog.at_level(logging.WARNING):
            assert _one_of("DOTFLOW_START_METHOD", METHODS) == "fork"
        [line] = caplog.messages
        assert "DOTFLOW_START_METHOD is 'teleport'" in line
        assert "fork, forkserver, spawn" in line

    @pytest.mark.parametrize("mode", ["sequential", *MODES])
    @pytest.mark.parametrize("value", ["teleport", "", 5, ["fork"]])
    def test_a_wrong_argument_is_refused_before_anything_is_reported(
        self, record, recorded, value, mode
    ):
        """Another value of the argument is an error that names the choices."""
        flow = DotFlow(config=recorded)
        flow.task.add(echo)
        record.clear()
        with pytest.raises(ValueError, match="one of 'fork', 'forkserver', 'spawn', not"):
            flow.start(mode=mode, start_method=value)
        assert record.calls == []

    def test_a_method_that_the_system_has_not_is_refused(self, monkeypatch, flow):
        """Where there is no fork, asking for it is an error that says what there is."""
        monkeypatch.setattr(methods, "START_METHODS", ("spawn",))
        with pytest.raises(ValueError, match="must be one of 'spawn', not 'fork'"):
            flow.start(mode="parallel", start_method="fork")

    @pytest.mark.parametrize("method", METHODS)
    def test_the_argument_wins(self, quiet, monkeypatch, method):
        """Of the argument and the setting the argument is used."""
        monkeypatch.setattr(Settings, "START_METHOD", "spawn" if method == "fork" else "fork")
        flow = DotFlow(config=quiet)
        flow.task.add(start_method_here)
        flow.start(mode="parallel", start_method=method)
        assert flow.result_storage() == [method]


@action
def start_method_here():
    # What multiprocessing itself sets in a child.
    return multiprocessing.get_start_method(allow_none=True) or "fork"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", STARTED)
def test_children_that_are_not_forked(quiet, method, mode):
    """Steps of a module run there, with their callbacks, and their errors come back."""
    flow = DotFlow(config=quiet)
    flow.task.add(process_id, callback="core_doubles.note_pid").add("core_doubles.fail")
    flow.start(mode=mode, start_method=method, keep_going=True)
    pid = flow.result_storage()[0]
    assert isinstance(pid, int)
    assert pid != os.getpid()
    assert Path("callback-1").read_text() == f"{pid} Completed"
    assert flow.task.queue[1].errors[0].message == "on purpose"
    assert flow.task.queue[0].config is quiet


@pytest.mark.parametrize("method", STARTED)
def test_results_go_on_in_a_group(quiet, method):
    """Within a group each task gets the result of the one before, in one process."""
    flow = DotFlow(config=quiet)
    flow.task.add([increment_of_doubles()] * 3)
    flow.start(mode="sequential_group", start_method=method)
    assert flow.result_storage() == [1, 2, 3]


def increment_of_doubles():
    from core_doubles import increment

    return increment


class TestWhatCannotCome:
    """What cannot be pickled fails its own task, with the step's name and what to do."""

    @staticmethod
    def _fail(config, method, **task):
        flow = DotFlow(config=config)
        flow.task.add(**task).add(process_id)
        flow.start(mode="sequential_group", start_method=method, keep_going=True)
        failed, other = flow.task.queue
        assert (failed.status, other.status) == ("Failed", "Completed")
        assert failed.started_ns <= failed.finished_ns
        [error] = failed.errors
        assert error.exception == "PicklingError"
        assert 'start_method="fork"' in error.message
        return error.message

    @pytest.mark.parametrize("method", STARTED)
    def test_a_local_step(self, quiet, method):
        """A step within a function has no name to be found by."""

        @action
        def local():
            return 1

        message = self._fail(quiet, method, step=local)
        assert message.startswith("step 'local' cannot be sent to its process")
        assert "top level of a module" in message
        assert 'if __name__ == "__main__":' in message

    def test_a_lambda(self, quiet):
        """A lambda is named as what it is."""
        message = self._fail(quiet, "spawn", step=action(lambda: 1))
        assert message.startswith("step '<lambda>' cannot be sent")

    def test_an_initial_context(self, quiet):
        """An input that cannot be pickled is called the step's initial context."""
        message = self._fail(quiet, "spawn", step=echo, initial_context=threading.Lock())
        assert message.startswith("the initial context of step 'echo' cannot be sent")
        assert "use data that can be pickled" in message

    def test_a_callback(self, quiet):
        """A callback that cannot be pickled is called the step's callback."""
        message = self._fail(quiet, "spawn", step=echo, callback=lambda task: None)
        assert message.startswith("the callback of step 'echo' cannot be sent")

    def test_a_step_that_the_child_does_not_find(self, quiet, monkeypatch):
        """A step of a module that a child cannot import is named as well."""
        module = type(sys)("only_here")
        exec("from dotflow import action\n@action\ndef gone(): pass", vars(module))
        monkeypatch.setitem(sys.modules, "only_here", module)
        message = self._fail(quiet, "spawn", step=module.gone)
        assert message.startswith("step 'gone' cannot be read in its process")
        assert "only_here" in message

    def test_an_input_that_the_child_cannot_read(self, quiet, monkeypatch):
        """A result that cannot be unpickled in the process of the next task fails that one."""
        flow = DotFlow(config=quiet)
        flow.task.add(echo).add(echo).add(process_id)
        kept = {1: Context(Unreadable())}
        monkeypatch.setattr(quiet.storage, "key", lambda task: task.task_id)
        monkeypatch.setattr(quiet.storage, "get", lambda key: kept.get(key, Context()))
        flow.start(mode="sequential_group", keep_going=True, resume=True)
        first, second, third = flow.task.queue
        assert (first.status, second.status, third.status) == ("Completed", "Failed", "Completed")
        assert second.errors[0].message.startswith("the input of step 'echo' cannot be read")

    def test_a_server_that_cannot_come(self, record, caplog):
        """A Server class that cannot be pickled costs the nesting of spans, and no task."""

        class Local(RecordingServer):
            pass

        flow = DotFlow(config=recording_config(record, server=Local(record)))
        flow.task.add(process_id)
        with caplog.at_level(logging.WARNING):
            flow.start(mode="parallel", start_method="spawn")
        assert flow.task.queue[0].status == "Completed"
        assert "cannot be sent to a process that is not forked" in caplog.text

    @pytest.mark.parametrize("method", METHODS)
    def test_a_carrier_that_cannot_come(self, record, method):
        """A carrier that cannot be pickled costs the nesting of spans, and no task."""
        flow = DotFlow(config=recording_config(record, server=BadCarrier(record)))
        flow.task.add(process_id)
        flow.start(mode="parallel", start_method=method)
        assert flow.task.queue[0].status == "Completed"


class BadCarrier(RecordingServer):
    def carrier(self, task):
        return {"traceparent": threading.Lock()}


class Unreadable:
    storage = task_id = workflow_id = None

    def __reduce__(self):
        return _refuse, ()


def _refuse():
    raise LookupError("cannot be read")


SCRIPT = """
    import sys
    from dotflow import Config, DotFlow, action
    from dotflow.providers import LogDefault

    class Odd(Exception):
        pass

    @action
    def step():
        return 5

    @action
    def odd():
        raise Odd("no")

    def run():
        flow = DotFlow(config=Config(log=LogDefault(level="ERROR", output="file")))
        flow.task.add([step, odd])
        flow.start(mode="parallel", keep_going=True, start_method=sys.argv[1])
        for task in flow.task.queue:
            said = [(error.error_type, error.message) for error in task.errors]
            print(task.status, task.current_context.storage, said)
"""


@pytest.mark.parametrize("method", METHODS)
def test_steps_of_a_script(method):
    """Steps of a script with a guard run however the children come to be, errors named alike."""
    done = run_program(SCRIPT + "\n    if __name__ == '__main__':\n        run()\n", method)
    assert done.stdout.splitlines() == [
        "Completed 5 []",
        "Failed None [('__main__.Odd', 'no')]",
    ], done.stderr


@pytest.mark.parametrize("method", STARTED)
def test_a_script_without_a_guard(method):
    """Without a guard the run ends Failed with what to do, and no child runs anything."""
    done = run_program(SCRIPT + "\n    run()\n", method)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr  # of the script itself, once
    for line in lines:
        assert line.startswith("Failed None")
        assert 'if __name__ == "__main__":' in line
        assert 'start_method="fork"' in line


@pytest.mark.parametrize("method", STARTED)
def test_steps_of_no_file(method):
    """A step of `python -c` is nowhere to be imported from: its task fails and says what to do."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT + "\n    run()\n"), method],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Failed None")
    assert "cannot be read in its process" in lines[0]
    assert 'if __name__ == "__main__":' in lines[0]


class TestImportOfTheProgram:
    """A child that imports the program does not run its workflows."""

    @pytest.fixture
    def importing(self, monkeypatch):
        process = multiprocessing.current_process()
        monkeypatch.setattr(process, "_inheriting", True, raising=False)
        return process

    def test_in_a_child_of_ours(self, importing, monkeypatch, record, recorded):
        """No mode is run there, and nothing is reported."""
        monkeypatch.setattr(importing, "_name", "dotflow-step")
        for mode in ("sequential", "background", *MODES):
            with pytest.raises(RuntimeError, match="only imports the program"):
                Manager([], mode=mode, config=recorded)
        assert record.calls == []

    def test_in_a_child_of_the_programs_own(self, importing, flow):
        """There a run that needs no process that could not be started is let go."""
        flow.task.add(echo, initial_context=1)
        flow.start()
        assert flow.result_storage() == [1]
        with pytest.raises(RuntimeError, match="only imports the program"):
            flow.start(mode="parallel", start_method="spawn")


def test_a_fork_server_that_is_gone(quiet, monkeypatch):
    """Where the fork server cannot make a process, the task fails and says what to look at."""

    def refuse(self):
        raise EOFError

    monkeypatch.setattr(multiprocessing.get_context("forkserver").Process, "start", refuse)
    flow = DotFlow(config=quiet)
    flow.task.add(process_id)
    flow.start(mode="parallel", start_method="forkserver")
    [error] = flow.task.queue[0].errors
    assert error.message.startswith("the process of step 'process_id' could not be started")
    assert 'if __name__ == "__main__":' in error.message
