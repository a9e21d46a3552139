"""`dotflow schedule`: real runs at real times, and how it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_waiting import pids, wait_for

from dotflow import providers
from dotflow.cli.signals import PATIENCE

pytestmark = pytest.mark.slow

EACH_SECOND = "* * * * * *"


def calls():
    path = Path("calls")
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def counting(tmp_path):
    """A step that notes each run, and fails in the first."""
    (tmp_path / "counting.py").write_text(
        "from pathlib import Path\nfrom dotflow import action\n"
        "@action\ndef step():\n"
        "    with Path('calls').open('a') as file:\n        file.write('call ')\n"
        "@action\ndef fails_first():\n"
        "    step.func()\n"
        "    if len(Path('calls').read_text().split()) == 1:\n"
        "        raise ValueError('the first')\n    return 'well'\n"
    )
    return "counting.step"


def test_every_run_has_a_record_of_its_own(spawn, default_dialect, counting):
    """Each due time is a run with an id of its own; told to stop it ends well, with status 0."""
    process = spawn("schedule", "-s", counting, "--cron", EACH_SECOND)
    wait_for(lambda: len(calls()) >= 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.startswith("counting.step runs next at ")
    assert output.count("completed: 1 task") == len(calls())
    workflows = default_dialect.workflows()
    assert len(workflows) == len(calls())
    assert {one["status"] for one in workflows} == {"Completed"}
    assert {one["name"] for one in workflows} == {"step"}


def test_a_workflow(spawn, default_dialect, counting, tmp_path):
    """Each due time makes a workflow anew, and its reports have left when it has run; resumed, the
    one that failed goes on."""
    with (tmp_path / "counting.py").open("a") as file:
        file.write(
            "from dotflow import Config, DotFlow\nfrom dotflow.otel import ServerOtel\n"
            "def pipeline():\n"
            "    flow = DotFlow(config=Config(server=ServerOtel()), name='made')\n"
            "    flow.task.add([fails_first, step])\n    return flow\n"
        )
    words = ("--workflow", "counting:pipeline", "--cron", EACH_SECOND, "--resume")
    process = spawn("schedule", *words)
    wait_for(lambda: len([x for x in default_dialect.workflows() if x["duration"]]) >= 2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert output.startswith("counting:pipeline runs next at ")
    assert "failed: task 1 (fails_first): ValueError: the first" in output
    assert output.count("completed: 2 tasks") == len(default_dialect.workflows())
    assert {(x["name"], x["status"]) for x in default_dialect.workflows()} == {
        ("made", "Completed")
    }


def test_a_run_under_way_is_waited_for(spawn, default_dialect, tmp_path):
    """The first signal lets it end; what it did is reported."""
    (tmp_path / "waiting.py").write_text(
        "import time\nfrom pathlib import Path\nfrom dotflow import action\n"
        "@action\ndef step():\n    Path('begun').touch()\n"
        "    while not Path('go').exists():\n        time.sleep(0.01)\n"
    )
    process = spawn("schedule", "-q", "-s", "waiting.step", "--cron", EACH_SECOND)
    wait_for(Path("begun").exists)
    process.send_signal(signal.SIGTERM)
    Path("go").touch()
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")
    assert default_dialect.workflows()[-1]["status"] == "Completed"


def test_what_is_waited_for_is_said(spawn, tmp_path):
    """After the first Ctrl-C a line says that a run is waited for, and how to interrupt it."""
    (tmp_path / "waiting.py").write_text(
        "import time\nfrom pathlib import Path\nfrom dotflow import action\n"
        "@action\ndef step():\n    Path('begun').touch()\n"
        "    while not Path('go').exists():\n        time.sleep(0.01)\n"
    )
    process = spawn("schedule", "-s", "waiting.step", "--cron", EACH_SECOND)
    wait_for(Path("begun").exists)
    process.send_signal(signal.SIGINT)
    said = []
    while not said or "No further run begins" not in said[-1]:
        said.append(process.stdout.readline())
    assert "Ctrl-C once more interrupts it" in said[-1]
    Path("go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_second_signal_interrupts_the_run(spawn, default_dialect, mode):
    """A later second one fails what is under way, with the reason; then it is 143."""
    process = spawn("schedule", "-s", "{}.slow", "--cron", EACH_SECOND, "-m", mode)
    wait_for(pids)
    process.send_signal(signal.SIGTERM)
    output = _ended_by_a_later_signal(process)
    assert process.returncode == 143, output
    (workflow,) = default_dialect.workflows()
    assert workflow["status"] == "Failed"
    (task,) = default_dialect.tasks()
    assert (task["status"], task["errors"][-1]["message"]) == ("Failed", "interrupted by SIGTERM")


def _ended_by_a_later_signal(process):
    """What a process says that ends at a later signal; on a busy machine it sees the first late."""
    for _ in range(4):
        time.sleep(PATIENCE + 0.2)  # not to wait for anything: a second signal is one that is later
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=15)[0]
    return pytest.fail("it does not end at a later signal")


def test_after_a_failure_resume_goes_on_with_the_same_run(spawn, default_dialect, counting):
    """--resume: the run that failed is gone on with, and after it completed a new one begins."""
    process = spawn("schedule", "-s", "counting.fails_first", "--cron", EACH_SECOND, "--resume")
    wait_for(lambda: len(calls()) >= 3)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "failed: task 1 (fails_first): ValueError: the first" in output
    assert len(default_dialect.workflows()) == len(calls()) - 1
    assert {one["status"] for one in default_dialect.workflows()} == {"Completed"}


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["--cron", "61 * * * *"], 2, "give five fields, each within its range"),
        (["--cron", "nonsense"], 2, "'nonsense' is no cron expression"),
        (["--cron", EACH_SECOND, "-c", "{}.not_callable"], 1, "steps_of_a_user.not_callable"),
        (["--cron", EACH_SECOND, "--server", "api"], 1, "SERVER_BASE_URL"),
        (["-w", "{}.gone", "--cron", EACH_SECOND], 1, "steps_of_a_user.gone"),
        (["-w", "{}.needs_an_argument", "--cron", EACH_SECOND], 1, "needs_an_argument"),
        (["-w", "{}.pipeline", "-i", "1", "--cron", EACH_SECOND], 2, "--initial-context"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_run(command, capsys, words, status, expected):
    """A wrong flag is one line now, not an error at the first due time."""
    step = () if "-w" in words else ("-s", "{}.extract")
    assert command("schedule", *step, *words) == status
    said = capsys.readouterr().err
    assert said.startswith("Error: ")
    assert expected in said


@pytest.mark.parametrize("words", [["-s", "a.b"], ["--cron", EACH_SECOND], ["-s", "a.b", "--cron",
                                   EACH_SECOND, "--overlap", "twice"]])  # fmt: skip
def test_wrong_flags_are_status_2(command, words):
    """--step and --cron are needed, and an overlap is one of three."""
    with pytest.raises(SystemExit) as ended:
        command("schedule", *words)
    assert ended.value.code == 2


def test_without_the_extra_the_remedy_is_named(command, monkeypatch, capsys):
    """Without croniter one line says what to install."""
    monkeypatch.setitem(sys.modules, "croniter", None)
    monkeypatch.delitem(sys.modules, "dotflow.providers.scheduler_cron", raising=False)
    monkeypatch.delitem(vars(providers), "SchedulerCron", raising=False)
    assert command("schedule", "-s", "{}.extract", "--cron", EACH_SECOND) == 1
    assert "pip install 'dotflow[scheduler]'" in capsys.readouterr().err


def test_in_this_process(command, tmp_path, capsys):
    """The command takes its signal, says what ran, and leaves the handlers as they were."""
    (tmp_path / "stopping.py").write_text(
        "import os, signal\nfrom dotflow import action\n"
        "@action\ndef step():\n    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    before = signal.getsignal(signal.SIGTERM)
    assert command("schedule", "-s", "stopping.step", "--cron", EACH_SECOND) == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert "completed: 1 task" in capsys.readouterr().err
