"""The live view, on a real (pseudo) terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest
from cli_waiting import pids, summary, wait_for

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.cli.live import Progress
from dotflow.cli.running import failure, success

pytestmark = pytest.mark.slow

ERASED = "\x1b[2K"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ROWS, COLUMNS = 30, 100


@pytest.fixture
def terminal(spawn, monkeypatch):
    """Runs `dotflow WORDS` on a terminal; what was written there, without colours and moves."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main, other = pty.openpty()
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def run(*words, number=None, stdout=other):
        process = spawn(*words, stdin=other, stdout=stdout, stderr=other)
        os.close(other)
        if number is not None:
            wait_for(pids)
            process.send_signal(number)
        return process, read()

    def read():
        written = b""
        with contextlib.suppress(OSError):  # Linux: at the end of a terminal
            while chunk := os.read(main, 65536):
                written += chunk
        # A view has no end of line: what is written over it, once it is erased, begins one.
        return CODES.sub("", written.decode().replace(ERASED, "\n")).replace("\r", "")

    yield run
    os.close(main)


def rows(page):
    """The last table: the cells of each task."""
    table = page.rpartition("task  name")[2].splitlines()[1:]
    return [line.split() for line in table if line.strip()[:1].isdigit()]


def test_tasks_are_shown_as_they_go(terminal):
    """Name, status, seconds; prints of the steps above, no log lines, and what came of it."""
    process, page = terminal("start", "-w", "{}.pipeline")
    assert process.wait() == 0
    cells = rows(page)
    assert [row[:3] for row in cells] == [
        ["1", "extract", "Completed"],
        ["2", "total", "Completed"],
    ]
    assert all(float(row[3]) >= 0 for row in cells)
    assert "totalling" in page.splitlines()
    assert "INFO" not in page
    assert summary(page)[0].startswith("completed: 2 tasks in ")


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_errors_stand_above(terminal, mode):
    """What LogDefault has to say of an error is whole, above the view."""
    process, page = terminal("start", "-w", "{}.failing", "-m", mode)
    assert process.wait() == 1
    lines = page.splitlines()
    assert "ValueError: no luck" in lines
    assert "at all" in lines
    assert rows(page)[1][:3] == ["2", "fail", "Failed"]
    assert summary(page)[0] == "failed: task 2 (fail): ValueError: no luck"


def test_what_child_processes_print_stands_above(terminal, tmp_path):
    """Children, and programs that a step starts, write above the view too."""
    (tmp_path / "printing.py").write_text(
        "import subprocess, sys\nfrom dotflow import DotFlow, action\n"
        "@action\ndef step():\n"
        "    print('from the child')\n    print('to the other', file=sys.stderr)\n"
        "    sys.stdout.write('no newline'); sys.stdout.flush()\n"
        "    subprocess.run(['echo', 'from a program'], check=True)\n"
        "def make():\n    flow = DotFlow()\n    flow.task.add([step, step])\n    return flow\n"
    )
    process, page = terminal("start", "-w", "printing.make", "-m", "parallel")
    assert process.wait() == 0
    assert page.count("from the child\n") == page.count("to the other\n") == 2
    assert page.count("from a program\n") == 2
    assert len(rows(page)) == 2


def test_standard_output_that_goes_elsewhere_goes_there(terminal, tmp_path):
    """Only what would go to the terminal is led there."""
    with (tmp_path / "out").open("w") as file:
        process, page = terminal("start", "-w", "{}.pipeline", stdout=file)
    assert process.wait() == 0
    assert (tmp_path / "out").read_text() == "totalling\n"
    assert "totalling" not in page


def test_quiet_shows_nothing(terminal):
    """-q on a terminal: what the steps print, and that is all."""
    process, page = terminal("start", "-q", "-w", "{}.pipeline")
    assert process.wait() == 0
    assert page == "totalling\n"


def test_a_terminal_that_can_do_nothing_has_lines(terminal, monkeypatch):
    """TERM=dumb: the lines of the log."""
    monkeypatch.setenv("TERM", "dumb")
    process, page = terminal("start", "-w", "{}.pipeline")
    assert process.wait() == 0
    assert page.count("INFO") == 6


@pytest.mark.parametrize("mode", ["background", "parallel"])
def test_a_signal_leaves_the_terminal_well(terminal, mode):
    """The view ends with what became of the task, and the last lines say the rest."""
    process, page = terminal("start", "-s", "{}.slow", "-m", mode, number=signal.SIGINT)
    assert process.wait() == 130
    assert rows(page)[0][:3] == ["1", "slow", "Failed"]
    said, _, last = page.rstrip("\n").rpartition("\n")
    assert summary(said)[0] == "failed: task 1 (slow): interrupted by SIGINT"
    assert last == "Aborted."


def test_lines_where_there_is_no_terminal(spawn):
    """In a pipe: the plain lines of the log and what came of it, without colours."""
    process = spawn("start", "-w", "{}.pipeline", stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert ["Not started" in line for line in said.splitlines()[:3]] == [True, True, False]
    assert said.count("INFO") == 6
    assert "\x1b" not in said


class Own(Notify):
    def __init__(self):
        self.seen = []

    def hook_status_task(self, task):
        self.seen.append(task.status)
        raise OSError("away")

    def hook_end_workflow(self, run):
        self.seen.append("the end")


@action
def nothing():
    return None


def test_the_workflows_own_notify_is_told():
    """The view's Notify passes everything on, and what the own one raises hurts nobody."""
    own = Own()
    flow = DotFlow(config=Config(notify=own))
    flow.task.add(nothing)
    own.seen.clear()
    flow.config.notify = Progress(own, flow.config.guard, flow.task.queue)
    flow.start()
    assert own.seen == ["In progress", "Completed", "the end"]
    assert flow.config.guard.failures["Own.hook_status_task"] == 3


def test_more_tasks_than_there_is_room_for():
    """Those under way and those that failed are shown first, then what changed last, in order."""
    flow = DotFlow()
    flow.task.add([nothing] * 20)
    flow.config.notify = progress = Progress(flow.config.notify, flow.config.guard, flow.task.queue)
    for number, status in [(3, "Failed"), (5, "Completed"), (15, "In progress"), (9, "Completed")]:
        flow.task.queue[number].status = status
    assert [task.task_id for task in progress.shown(5)] == [4, 6, 10, 16]
    assert len(progress.shown(20)) == 20


def test_the_lines_at_the_end():
    """Restored and further failed tasks are counted; an error is one line that is not too long."""
    flow = DotFlow()
    flow.task.add([nothing] * 3)
    one, two, three = flow.task.queue
    one.restored = True
    assert success([one, two, three], 61.25) == "completed: 3 tasks (1 of them before) in 61.2 s"
    assert success([two], 0.04) == "completed: 1 task in 0.0 s"
    assert failure([one], "interrupted by SIGTERM") == "failed: interrupted by SIGTERM"
    for task, error in [(two, KeyError()), (three, ValueError("x" * 500 + "\nmore"))]:
        task.errors = error
        task.status = "Failed"
    assert failure([one, two, three]) == "failed: task 2 (nothing): KeyError (and 1 more)"
    line = failure([three])
    assert line.startswith("failed: task 3 (nothing): ValueError: xxx")
    assert line.endswith("x…")
    assert len(line) < 260
