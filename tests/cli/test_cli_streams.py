"""Streams that nobody reads, that are closed, or that cannot say all: no command fails by them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from cli_waiting import wait_for

PROGRAM = [sys.executable, "-c", "from dotflow.main import main; main()"]
NOISY = """
from dotflow import DotFlow, action
@action
def talk():
    for number in range(30000):
        print("né", number)
@action
def after(previous_context):
    print("après 名前")
def make():
    flow = DotFlow(name="naïve 名前" + "x" * 100)
    flow.task.add([talk, after])
    return flow
"""


@pytest.fixture(autouse=True)
def noisy(tmp_path):
    (tmp_path / "noisy_of_a_user.py").write_text(NOISY, encoding="utf-8")


def shell(words, after, **environment):
    """The exit status of `dotflow WORDS`, and what a shell that runs it has printed."""
    script = 'program=("$@"); set -o pipefail; "${program[@]}" ' + after
    return subprocess.run(
        ["bash", "-c", script, "bash", *PROGRAM, *words],
        capture_output=True, timeout=120, check=False, env={**os.environ, **environment},
    )  # fmt: skip


START = ["start", "-w", "noisy_of_a_user.make"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("after", ["| head -1", "2>&1 | head -1", ">&-", "2>&-", ">&- 2>&-"])
def test_steps_that_print_to_nobody(after, mode):
    """A reader that has seen enough, or a closed stream, is no fault of a step, nor is it shown."""
    done = shell([*START, "-m", mode], after)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--help"], ["start", "--help"], ["outbox", "status"], ["outbox", "status", "--json"]]
)
def test_commands_that_print_to_nobody(words):
    """Each command bears that nobody reads on."""
    for after in ("| head -0", ">&-"):
        done = shell(words, after)
        assert (done.returncode, done.stderr) == (0, b""), after


ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.slow
@pytest.mark.parametrize("environment", ASCII)
def test_a_stream_of_ascii_says_all(environment):
    """What steps, log lines and the last lines say is escaped where it has to be."""
    done = shell(START, "", **environment)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].decode()
    assert last == (r"apr\xe8s \u540d\u524d" if not last[3:].startswith("è") else "après 名前")
    assert b"Traceback" not in done.stderr
    assert b"na\\xefve" in done.stderr or "naïve".encode() in done.stderr


@pytest.mark.slow
def test_the_demo_in_ascii():
    """The demo's page keeps its columns: each character of it has one that stands for it."""
    done = shell(["demo"], "", PYTHONIOENCODING="ascii", COLUMNS="100")
    assert done.returncode == 0, done.stderr
    page = done.stdout.decode("ascii")
    assert "\\u" not in page
    (fetch,) = [line for line in page.splitlines() if "2 attempts" in line]
    assert "fetch" in fetch
    assert "=" in fetch
    assert "+ Completed" in fetch


def interrupted(program, until, **environment):
    """What a process group says that Ctrl-C ends once `until` is there."""
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env={**os.environ, **environment},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    try:
        wait_for(until)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return output


SLOW = """
import sys, time
from pathlib import Path
from dotflow import DotFlow, action
@action
def slow():
    Path("begun").touch()
    time.sleep(600)
if __name__ == "__main__":
    flow = DotFlow(name="slow")
    flow.task.add([slow, slow])
    flow.start(mode=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_ctrl_c_in_a_script_shows_the_users_frames(tmp_path, mode):
    """The traceback of a script goes from its call of start() to its step; children show none."""
    (tmp_path / "slow.py").write_text(SLOW)
    output = interrupted([sys.executable, "slow.py", mode], (tmp_path / "begun").exists)
    own = 1 if sys.version_info < (3, 11) else 0
    assert output.replace(str(tmp_path), "").count("/dotflow/") == own
    last = output[output.rindex("Traceback") :]
    assert "flow.start(mode=sys.argv[1])" in last
    assert ("in slow" in last) is (mode == "sequential")
    assert last.rstrip().endswith("KeyboardInterrupt")


LEAVING = """
from pathlib import Path
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
@action
def quick():
    pass
flow = DotFlow(config=Config(server=ServerOtel()))
flow.task.add(quick)
flow.start()
import atexit
atexit.register(Path("leaving").touch)
"""


@pytest.mark.slow
def test_ctrl_c_while_a_program_ends(tmp_path):
    """It ends the waiting for what takes no reports, with a line in place of a traceback."""
    environment = {
        "DOTFLOW_SERVER_URL": "http://127.0.0.1:9", "DOTFLOW_USER_TOKEN": "t",
        "DOTFLOW_FLUSH_TIMEOUT": "300", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }  # fmt: skip

    def is_leaving():
        time.sleep(0.5)  # after the file is there the next exit handler is ours
        return (tmp_path / "leaving").exists()

    output = interrupted([sys.executable, "-c", LEAVING], is_leaving, **environment)
    assert "Traceback" not in output
    assert "The program's end is interrupted" in output
    assert "dotflow outbox flush" in output


def test_ctrl_c_before_the_command_is_there(monkeypatch, capsys):
    """While the command is loaded Ctrl-C says no more than that."""
    from dotflow import main

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("dotflow.cli.streams.bear_all", interrupt)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "Aborted.\n")
