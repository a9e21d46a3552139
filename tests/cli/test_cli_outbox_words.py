"""`dotflow outbox status`: what each destination waits for, since when, and what to do."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from cli_outbox import AWAY, dotflow, program, report, running, use
from cli_waiting import wait_for
from support.fault_server import TOKEN, FaultServer, status
from support.otlp import OtlpReceiver
from support.processes import dies
from support.written import NAME, WrittenRun

from dotflow.delivery import dead_letters
from dotflow.delivery.outbox import Outbox
from dotflow.runlog import files

pytestmark = pytest.mark.slow  # each starts programs


@pytest.fixture
def api(monkeypatch):
    server = FaultServer()
    use(monkeypatch, server.url)
    yield server
    server.close()


def words(capsys):
    capsys.readouterr()
    assert dotflow("status") == 0
    return capsys.readouterr().out


def test_a_refused_token(api, capsys):
    """The server's words, the variable to set, and since when; in a later process too."""
    api.on(".", status(401, {"detail": "no such token"}))
    program(DOTFLOW_FLUSH_TIMEOUT="1")
    out = words(capsys)
    assert 'it refuses the token of DOTFLOW_USER_TOKEN: 401 {"detail": "no such token"}' in out
    assert "set DOTFLOW_USER_TOKEN, then run: dotflow outbox flush" in out
    assert TOKEN not in out
    [shown] = report(capsys)["destinations"]
    assert shown["waits_for"]["mend"] == "DOTFLOW_USER_TOKEN"
    assert shown["waits_for"]["since"].startswith("20")
    assert TOKEN not in str(shown)


def test_a_server_that_asks_to_wait(api, capsys):
    """Until when it asked is said, with its words."""
    api.on(".", status(503, {"detail": "maintenance"}, Retry_After="600"))
    program(DOTFLOW_FLUSH_TIMEOUT="1")
    out = words(capsys)
    assert "it asks to wait, until 20" in out
    assert '503 {"detail": "maintenance"}' in out
    assert "run: dotflow outbox flush" in out


def test_nobody_answers(monkeypatch, capsys):
    """A server that is away is said to be, with what the system says."""
    use(monkeypatch, AWAY)
    program(DOTFLOW_FLUSH_TIMEOUT="1")
    assert "it takes nothing: the server could not be reached: connection refused" in words(capsys)


def test_what_a_running_program_waits_for(api, capsys):
    """Another process is told of, with its number, and what has to be done for it."""
    api.on(".", status(401, {"detail": "no such token"}))
    with running(DOTFLOW_FLUSH_TIMEOUT="0.1") as process:
        wait_for(lambda: "refuses the token" in words(capsys))
        out = words(capsys)
        assert f"a running program sends them (process {process.pid})" in out
        assert "start that program again with another DOTFLOW_USER_TOKEN" in out
        assert dotflow("flush", "--timeout", "30") == 1  # at once: it is known to be of no use
        out = capsys.readouterr().out
        assert "no such token" in out
        assert "delivered: nothing" in out


def test_since_when_stays_while_nothing_is_taken(api, capsys):
    """A later try, of another process and with another answer, is no new beginning."""
    api.on(".", status(503, {"detail": "one"}), times=1)
    api.on(".", status(500, {"detail": "two"}))
    program(DOTFLOW_FLUSH_TIMEOUT="1")
    [first] = report(capsys)["destinations"]
    time.sleep(1.1)  # the times are whole seconds
    assert dotflow("flush", "--timeout", "1") == 1
    [second] = report(capsys)["destinations"]
    assert second["waits_for"]["since"] == first["waits_for"]["since"]
    assert second["waits_for"]["tried_at"] > first["waits_for"]["tried_at"]
    assert "tried last at" in words(capsys)


def test_what_was_mended_is_not_told_any_more(api, capsys):
    """Once all is delivered nothing is said of what it waited for."""
    api.on(".", status(503))
    program(DOTFLOW_FLUSH_TIMEOUT="0.5")
    assert list(files.folder().glob("*.wait"))
    api.well()
    assert dotflow("flush") == 0
    assert not list(files.folder().glob("*.wait"))


def test_spans_have_words_too(monkeypatch, capsys):
    """An endpoint is said to be away, in spans; the token of its address is not."""
    with OtlpReceiver() as receiver:
        receiver.is_away = True
        address = receiver.http_url
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address, "DOTFLOW_SERVER": "otel",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1", "DOTFLOW_FLUSH_TIMEOUT": "3",
        }  # fmt: skip
        ran = program(**environment)
        assert (
            ran.stderr.count("DOTFLOW_FLUSH_TIMEOUT (now 3 s) gives a program's end more time") == 1
        )
        out = words(capsys)
        assert f"OTLP endpoint {address}/v1/traces: 3 spans wait" in out
        assert "it takes nothing: " in out
        assert "set OTEL_EXPORTER_OTLP_ENDPOINT to this address" in out
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        assert "run: dotflow outbox flush" in words(capsys)
        assert report(capsys)["destinations"][0]["unit"] == "spans"


def test_the_end_of_a_program_names_the_remedies(api):
    """One line says what is left, where, how to send it, and how to give the end more time."""
    api.on(".", status(503))
    ran = program(DOTFLOW_FLUSH_TIMEOUT="0.5")
    [line] = [line for line in ran.stderr.splitlines() if "DOTFLOW_FLUSH_TIMEOUT" in line]
    assert " messages to dotflow-api at " in line
    assert "`dotflow outbox flush`, sends them" in line
    assert "DOTFLOW_FLUSH_TIMEOUT (now 0.5 s) gives a program's end more time" in line


@pytest.mark.parametrize("is_closed", [False, True])
def test_one_line_for_messages_and_spans(api, is_closed):
    """Whatever delivers, a program's end, or that of its Server, says it once."""
    api.on(".", status(503))
    with OtlpReceiver() as receiver:
        receiver.is_away = True
        ran = program(
            *(["close"] if is_closed else []),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_url, DOTFLOW_SERVER="otel",
            OTEL_EXPORTER_OTLP_TIMEOUT="1", DOTFLOW_FLUSH_TIMEOUT="3",
        )  # fmt: skip
    [line] = [line for line in ran.stderr.splitlines() if "DOTFLOW_FLUSH_TIMEOUT" in line]
    assert " messages to dotflow-api at " in line
    assert "3 spans for OTLP endpoint " in line
    assert line.count("`dotflow outbox flush`, sends them") == 1


def test_a_flush_says_nothing_of_a_later_flush(api, capfd):
    """What a flush leaves it tells in its own words, not in those of a program's end."""
    api.on(".", status(503))
    program(DOTFLOW_FLUSH_TIMEOUT="0.5")
    capfd.readouterr()
    assert dotflow("flush", "--timeout", "0.5") == 1
    out, err = capfd.readouterr()
    assert "DOTFLOW_FLUSH_TIMEOUT" not in out + err
    assert "503" in out


RUNS_ON = """
import sys
from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault

config = Config(log=LogDefault(level="ERROR"))

@action
def step():
    assert config.server.flush(60).complete
    print("ready", flush=True)
    sys.stdin.readline()

flow = DotFlow(config=config)
flow.task.add(step)
flow.start()
"""


def test_a_run_that_goes_on_owes_nothing_yet(api, capsys):
    """Ends that a living process has not come to are not counted as waiting."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNS_ON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        [shown] = report(capsys)["destinations"]
        assert (shown["pending"], shown["in_use"]) == (0, 1)
        assert "nothing waits; 1 running program may report there" in words(capsys)
        assert dotflow("flush", "--timeout", "0") == 0
        process.kill()
    [shown] = report(capsys)["destinations"]
    assert shown["pending"] == 2  # the ends of the task and of the run
    assert dotflow("flush") == 0


def test_dead_letters_that_cannot_be_read(capsys):
    """A damaged file is told of, with the remedy, which works."""
    path = files.make_folder() / dead_letters.FILE
    path.write_bytes(b"SQLite no more" * 100)
    path.chmod(0o600)
    assert dotflow("status") == 1
    assert "`dotflow outbox drop --all` deletes them" in capsys.readouterr().err
    assert dotflow("drop", "--all") == 0
    assert dotflow("status") == 0


def test_the_end_of_a_program_without_a_disk_says_what_is_lost(api, tmp_path):
    """Reports that were in memory do not wait anywhere, and nothing claims that they do."""
    api.on(".", status(503))
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "state")
    ran = program(DOTFLOW_FLUSH_TIMEOUT="0.5", DOTFLOW_STATE_DIR=nowhere)
    assert f"Reports cannot be kept on disk ([Errno 20] Not a directory: '{nowhere}" in ran.stderr
    [line] = [line for line in ran.stderr.splitlines() if "DOTFLOW_FLUSH_TIMEOUT" in line]
    assert "They were held in memory, and are lost." in line
    assert "dotflow outbox flush" not in ran.stderr


def test_a_destination_that_has_all_is_not_shown(capsys):
    """A dead process's log that is kept for one destination names another, which needs nothing."""

    def work(_):
        Outbox(NAME)
        Outbox("another")
        WrittenRun("w", name="another").created()

    dies(work)
    assert [one["destination"] for one in report(capsys)["destinations"]] == ["another"]
    assert NAME not in words(capsys)
