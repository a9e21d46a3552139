"""An address that is gone: what waits for it is deleted, or sent to another one."""

from __future__ import annotations

import io
import json

import pytest
from cli_outbox import AWAY, dotflow, program, report, running, use
from support.fault_server import TOKEN, FaultServer, status
from support.otlp import OtlpReceiver

from dotflow.runlog import files

pytestmark = pytest.mark.slow  # each starts programs

OLD = f"dotflow-api at {AWAY} (default)"


@pytest.fixture
def api(monkeypatch):
    """The new one; programs report to the old one, which is away."""
    server = FaultServer()
    use(monkeypatch, server.url)
    yield server
    server.close()


def to_old(*arguments, **environment):
    return program(
        *arguments,
        **{"DOTFLOW_SERVER_URL": AWAY, "DOTFLOW_FLUSH_TIMEOUT": "0.2", **environment},
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_waits_is_sent_to_another_address(api, capsys):
    """All of it arrives there, in its order, and nothing waits any more."""
    to_old()
    to_old("die")
    assert dotflow("send", "--destination", AWAY, "--to", api.url, "--yes") == 0
    assert f"delivered to {api.url}: " in capsys.readouterr().out
    assert sorted(one["status"] for one in api.workflows.values()) == ["Completed", "Failed"]
    assert {one["status"] for one in api.tasks.values()} == {"Completed", "Failed"}
    assert report(capsys)["destinations"] == []
    assert files.logs() == {}


def test_the_records_go_on_where_the_server_was_only_renamed(api, capsys):
    """What the old address had taken is not sent again: ids that it gave hold at the new one."""
    api.on("PATCH", status(503))
    program(DOTFLOW_FLUSH_TIMEOUT="1", DOTFLOW_SERVER_URL=api.url.replace("127.0.0.1", "localhost"))
    posts = [line for line in api.lines() if line.startswith("POST")]
    assert posts
    api.well()
    old = report(capsys)["destinations"][0]["destination"]
    assert "localhost" in old
    assert dotflow("send", "--destination", old, "--to", f"{api.url}/", "--yes") == 0
    assert [line for line in api.lines() if line.startswith("POST")].count("POST /workflows") == 1
    assert [one["status"] for one in api.workflows.values()] == ["Completed"]
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}


def test_a_new_server_has_not_the_records_of_the_old_one(api, capsys, monkeypatch):
    """Nothing becomes a dead letter; `--anew` makes each record there, from its beginning."""
    old = FaultServer()
    old.on("PATCH", status(503))
    program(DOTFLOW_FLUSH_TIMEOUT="1", DOTFLOW_SERVER_URL=old.url)
    assert old.tasks
    whole = program("die", DOTFLOW_FLUSH_TIMEOUT="1", DOTFLOW_SERVER_URL=old.url)
    assert whole.returncode < 0
    old.close()
    capsys.readouterr()
    words = ("send", "--destination", old.url, "--to", api.url, "--yes")
    assert dotflow(*words, "--timeout", "2") == 1
    out = capsys.readouterr().out
    assert "no record of workflow" in out
    assert "--anew makes them there" in out
    assert report(capsys)["dead_letters"] == []
    assert dotflow(*words, "--anew") == 0
    assert sorted(one["status"] for one in api.workflows.values()) == ["Completed", "Failed"]
    assert sorted(one["status"] for one in api.tasks.values()) == [*["Completed"] * 3, "Failed"]
    assert report(capsys)["dead_letters"] == []
    assert files.logs() == {}


@pytest.mark.parametrize("bulk", [0, 50])
def test_anew_is_no_harm_where_the_records_are_there(api, capsys, bulk):
    """A POST of what is there is answered with its id, and the states are the last ones."""
    api.bulk = bulk
    api.on("PATCH", status(503))
    api.on("POST /bulk", status(503))
    program(DOTFLOW_FLUSH_TIMEOUT="1", DOTFLOW_SERVER_URL=api.url.replace("127.0.0.1", "localhost"))
    api.well()
    [shown] = report(capsys)["destinations"]
    words = ("send", "--destination", shown["destination"], "--to", api.url, "--yes", "--anew")
    assert dotflow(*words) == 0
    assert [one["status"] for one in api.workflows.values()] == ["Completed"]
    assert [one["status"] for one in api.tasks.values()] == ["Completed"] * 2
    assert len(api.tasks) == 2


def test_the_new_address_is_away_too(api, capsys, monkeypatch):
    """What could not be sent waits where it waited; the exit status and a line say so."""
    to_old()
    api.on(".", status(503, {"detail": "not now"}))
    words = ("send", "--destination", AWAY, "--to", api.url, "--yes", "--timeout", "0.5")
    assert dotflow(*words) == 1
    out = capsys.readouterr().out
    assert "which wait for the old address still" in out
    assert "not now" in out
    assert report(capsys)["destinations"][0]["destination"] == OLD
    api.well()
    assert dotflow(*words[:-2]) == 0


def test_the_token_of_the_new_address(api, capsys, caplog, monkeypatch):
    """Without one the variable is named; one of the environment is used, and never shown."""
    to_old()
    monkeypatch.delenv("DOTFLOW_USER_TOKEN")
    assert dotflow("send", "--destination", AWAY, "--to", api.url, "--yes") == 1
    assert "its token in DOTFLOW_USER_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)
    assert dotflow("send", "--destination", AWAY, "--to", "no address", "--yes") == 1
    assert "must look like https://host" in capsys.readouterr().err
    monkeypatch.setenv("DOTFLOW_SERVER_URL", AWAY)  # of the old one still
    monkeypatch.delenv("DOTFLOW_SERVER_URL")
    assert dotflow("send", "--destination", OLD, "--to", api.url, "--yes") == 0
    assert TOKEN not in "".join(capsys.readouterr())
    assert "nothing is reported" not in caplog.text
    assert len(api.workflows) == 1


def test_the_managed_dialect(api, capsys, monkeypatch):
    """What was said in it is said in it there, with its own variable's token."""
    program(SERVER_BASE_URL=AWAY, SERVER_USER_TOKEN="another", DOTFLOW_FLUSH_TIMEOUT="0.2")
    words = ("send", "--destination", AWAY, "--to", api.url, "--yes")
    monkeypatch.delenv("DOTFLOW_SERVER_URL")
    assert dotflow(*words) == 1
    assert "its token in SERVER_USER_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("SERVER_USER_TOKEN", TOKEN)
    assert dotflow(*words) == 0
    assert {one.headers.get("authorization") for one in api.seen} == {f"Bearer {TOKEN}"}
    assert [one["status"] for one in api.workflows.values()] == ["Completed"]
    assert "PATCH /tasks/srv-1" not in api.lines()


def test_dead_letters_go_to_the_new_address(api, capsys):
    """They can be tried again there."""
    api.on("POST /workflows/.*/tasks", status(422, {"detail": "no"}))
    old = api.url.replace("127.0.0.1", "localhost")
    program(DOTFLOW_SERVER_URL=old)
    letters = len(report(capsys)["dead_letters"])
    assert letters >= 2
    api.well()
    assert dotflow("send", "--destination", old, "--to", api.url, "--yes") == 0
    assert f"{letters} dead letters: `dotflow outbox retry` sends them" in capsys.readouterr().out
    assert dotflow("retry") == 0
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}


def test_a_destination_is_dropped(api, capsys):
    """All that waits for it goes, with its files; what waits for others stays."""
    to_old()
    program(DOTFLOW_SERVER_URL="http://127.0.0.1:8", DOTFLOW_FLUSH_TIMEOUT="0.2")
    assert dotflow("drop", "--destination", AWAY, "--yes") == 0
    assert "dropped: " in capsys.readouterr().out
    [shown] = report(capsys)["destinations"]
    assert shown["destination"] == "dotflow-api at http://127.0.0.1:8 (default)"
    assert shown["pending"] >= 6
    assert len(files.logs()) == 1
    assert dotflow("drop", "--destination", shown["destination"], "--yes") == 0
    assert [path.name for path in files.folder().iterdir() if path.suffix != ".lock"] == []


def test_one_of_two_readers_of_a_log_is_dropped(api, capsys, monkeypatch):
    """The spans of the same run stay, and are sent."""
    with OtlpReceiver() as receiver:
        receiver.is_away = True
        to_old(
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.http_url, DOTFLOW_SERVER="otel",
            OTEL_EXPORTER_OTLP_TIMEOUT="1", DOTFLOW_FLUSH_TIMEOUT="3",
        )  # fmt: skip
        assert dotflow("drop", "--destination", OLD, "--yes") == 0
        [shown] = [one for one in report(capsys)["destinations"] if one["pending"]]
        assert (shown["unit"], shown["pending"]) == ("spans", 3)
        receiver.is_away = False
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_url)
        assert dotflow("flush") == 0
        assert len(receiver.spans) == 3
    assert files.logs() == {}


def test_spans_are_sent_to_another_endpoint_or_dropped(capsys):
    """An OTLP endpoint may be gone as well."""
    with OtlpReceiver() as receiver:
        gone = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": AWAY, "DOTFLOW_SERVER": "otel",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1", "DOTFLOW_FLUSH_TIMEOUT": "3",
        }  # fmt: skip
        program(**gone)
        address = f"{AWAY}/v1/traces"
        words = ("send", "--destination", address, "--to")
        assert dotflow(*words, AWAY, "--yes") == 1
        assert "The reports wait for that address already" in capsys.readouterr().err
        secret = receiver.http_url.replace("//", "//me:s3cr3t@")
        assert dotflow(*words, f"{secret}:no-port", "--yes") == 1
        assert dotflow(*words, secret, "--yes") == 0
        out = capsys.readouterr().out
        assert "s3cr3t" not in out
        assert f"delivered to OTLP endpoint {receiver.http_url}/v1/traces: 3 spans" in out
        assert sorted(span.name for span in receiver.spans) == ["etl", "one", "two"]
    assert files.logs() == {}
    program(**gone)
    assert dotflow("drop", "--destination", address, "--yes") == 0
    assert "dropped: 3 spans" in capsys.readouterr().out
    assert files.logs() == {}


def test_what_a_running_program_has_stays(api, capsys):
    """It is told of, and with it what to do; the exit status says that something is left."""
    old = {"DOTFLOW_SERVER_URL": AWAY, "DOTFLOW_FLUSH_TIMEOUT": "0.1"}
    to_old()
    with running(**old) as process:
        assert dotflow("drop", "--destination", AWAY, "--yes") == 1
        out = capsys.readouterr().out
        assert f"a running program sends them (process {process.pid})" in out
        assert "end it, then drop them" in out
        [shown] = report(capsys)["destinations"]
        assert shown["processes"] == [process.pid]
    assert dotflow("drop", "--destination", AWAY, "--yes") == 0
    assert report(capsys)["destinations"] == []


@pytest.mark.parametrize(("answer", "is_done"), [("y\n", True), ("\n", False), ("", False)])
def test_it_is_asked_before(api, capsys, monkeypatch, answer, is_done):
    """A person is told how much it is, and only "y" goes on."""
    to_old()
    [shown] = report(capsys)["destinations"]
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert dotflow("drop", "--destination", AWAY) == (0 if is_done else 1)
    out = capsys.readouterr().out
    assert f"{shown['pending']} messages for {OLD} will be deleted. \nGo on?" in out.replace(
        ".\n", ". \n"
    )
    assert (files.logs() == {}) is is_done


def test_nobody_can_be_asked(api, capsys, monkeypatch):
    """Without a terminal `--yes` is needed; nothing is done."""
    to_old()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    for words in (("drop",), ("send", "--to", api.url)):
        assert dotflow(*words, "--destination", AWAY) == 1
        assert "add --yes" in capsys.readouterr().err
    assert api.seen == []
    assert len(files.logs()) == 1


def test_a_destination_that_is_not_there(api, capsys):
    """Those that are there are named; one that is its own new address is refused."""
    to_old()
    assert dotflow("drop", "--destination", "http://nowhere", "--yes") == 1
    assert OLD in capsys.readouterr().err
    assert dotflow("drop", "--destination", AWAY, "--all") == 1
    assert "Say what to drop" in capsys.readouterr().err
    assert dotflow("send", "--destination", AWAY, "--to", AWAY, "--yes") == 1
    assert "`dotflow outbox flush` sends them" in capsys.readouterr().err


def test_what_a_later_version_wrote_can_be_dropped(api, capsys):
    """It is shown, counts as left, and goes when it is dropped."""
    to_old()
    [[path]] = files.logs().values()
    head, rest = path.read_bytes().split(b"\n", 1)
    said = {**json.loads(head), "v": 99}
    path.write_bytes(json.dumps(said, separators=(",", ":")).encode() + b"\n" + rest)
    assert dotflow("flush", "--timeout", "0") == 1
    assert "later version" in capsys.readouterr().out
    assert dotflow("status") == 0
    out = capsys.readouterr().out
    assert "from a later version of dotflow" in out
    assert f"dotflow outbox drop --destination '{OLD}'" in out
    assert dotflow("drop", "--destination", AWAY, "--yes") == 0
    assert files.logs() == {}


def test_a_name_whose_line_is_damaged(api, capsys):
    """Its key stands for it, and nothing becomes undroppable."""
    to_old()
    [[path]] = files.logs().values()
    text = path.read_bytes()
    path.write_bytes(text.replace(b'{"f":"reader"', b'{"f":"rea er'))
    [shown] = report(capsys)["destinations"]
    key = files.reader_key(OLD)
    assert (shown["destination"], shown["pending"] >= 6) == (key, True)
    assert dotflow("drop", "--destination", key, "--yes") == 0
    assert files.logs() == {}


def test_a_file_of_the_version_before_that_cannot_be_read(api, capsys):
    """It is shown by its key, and goes when it is dropped."""
    key = files.reader_key(OLD)
    folder = files.state_dir() / "outbox"
    folder.mkdir(parents=True)
    damaged = folder / f"{key}-00000001-0123abcd.sqlite3"
    damaged.write_bytes(b"no database" * 100)
    damaged.with_suffix(".lock").touch()
    assert dotflow("status") == 0
    assert "cannot be read" in capsys.readouterr().out
    assert dotflow("drop", "--destination", key, "--yes") == 0
    assert not damaged.exists()
