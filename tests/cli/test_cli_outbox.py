"""`dotflow outbox`: what waits is shown, sent, tried again, dropped."""

from __future__ import annotations

import json
import signal
import time

import pytest
from cli_outbox import AWAY, dotflow, program, report, running, use
from support.fault_server import TOKEN, FaultServer, status
from support.otlp import OtlpReceiver

from dotflow.delivery import dead_letters
from dotflow.delivery.survey import survey
from dotflow.runlog import files

pytestmark = pytest.mark.slow


@pytest.fixture
def api(monkeypatch):
    server = FaultServer()
    use(monkeypatch, server.url)
    yield server
    server.close()


def refused_run(api):
    """A run of which the server would not have one task; it says so when the run is long over."""
    refuse = status(422, {"detail": "I like no tasks"})

    def late(handler, seen):
        time.sleep(1)
        refuse(handler, seen)

    api.on("POST /workflows/.*/tasks", late, times=1)
    assert program().returncode == 0
    api.well()


def test_nothing_waits(capsys):
    """An empty outbox is said to be one, in words and in JSON."""
    assert dotflow("status") == 0
    assert "Nothing waits" in capsys.readouterr().out
    assert report(capsys) == {
        "folder": str(files.folder()), "destinations": [], "dead_letters": [],
    }  # fmt: skip


def test_an_outage_over_the_whole_run_and_past_it(api, capsys):
    """What a program could not deliver is shown, and sent by a flush, in its order."""
    api.on(".", status(503))
    ran = program(DOTFLOW_FLUSH_TIMEOUT="0.3")
    assert ran.returncode == 0
    assert ran.stderr.count("`dotflow outbox flush`, sends them") == 1
    assert not api.workflows

    [shown] = report(capsys)["destinations"]
    assert shown["destination"] == f"dotflow-api at {api.url} (default)"
    assert shown["pending"] >= 6
    assert shown["oldest"].startswith("20")
    assert (shown["in_use"], shown["dead"]) == (0, 0)
    assert dotflow("status") == 0
    assert f"{api.url} (default): {shown['pending']} messages wait" in capsys.readouterr().out

    api.well()
    assert dotflow("flush") == 0
    assert f"delivered: {shown['pending']}" in capsys.readouterr().out
    [workflow] = api.workflows.values()
    assert workflow["status"] == "Completed"
    assert [task["status"] for task in api.tasks.values()] == ["Completed", "Completed"]
    assert files.logs() == {}


def test_flush_says_what_is_left_and_why(monkeypatch, capsys, api):
    """With the server away, or another one configured, the exit status is 1; a line says why."""
    program(DOTFLOW_SERVER_URL=AWAY, DOTFLOW_FLUSH_TIMEOUT="0.1")
    assert dotflow("flush") == 1
    out = capsys.readouterr().out
    assert "delivered: nothing" in out
    assert "set DOTFLOW_SERVER_URL to this address, and DOTFLOW_USER_TOKEN to its token" in out
    use(monkeypatch, AWAY)
    assert dotflow("flush", "--timeout", "0.3") == 1
    assert "could not be reached: connection refused" in capsys.readouterr().out
    assert sum(one.pending for one in survey()) >= 6


def test_flush_ends_a_run_whose_process_was_killed(api):
    """A killed process leaves a run that has Failed, once, with an error that says why."""
    assert program("die").returncode == -signal.SIGKILL
    assert dotflow("flush") == 0
    assert dotflow("flush") == 0
    [workflow] = api.workflows.values()
    assert workflow["status"] == "Failed"
    one, two = (api.tasks[key] for key in sorted(api.tasks))
    assert (one["status"], one["current_context"]) == ("Completed", 1)
    assert two["status"] == "Failed"
    [error] = two["errors"]
    assert error["exception"] == "ProcessEnded"
    assert "the process ended before its task did; it was last seen at 20" in error["message"]
    ends = [one for one in api.lines() if one.startswith("PATCH /workflows")]
    assert len(ends) == len(set(ends)) or api.history
    statuses = [one.body["status"] for one in api.seen if one.line == ends[-1]]
    assert statuses.count("Failed") == 1


def test_what_a_running_program_sees_to_is_left_to_it(api, capsys):
    """A flush takes nothing from a living process, and says so."""
    api.on(".", status(503, {"detail": "maintenance"}))
    with running(DOTFLOW_FLUSH_TIMEOUT="0.1") as process:
        assert dotflow("flush", "--timeout", "0.2") == 1
        out = capsys.readouterr().out
        assert f"a running program sends them (process {process.pid}), and goes on trying" in out
        [shown] = report(capsys)["destinations"]
        assert (shown["in_use"], shown["processes"]) == (1, [process.pid])
        assert dotflow("status") == 0
        assert "maintenance" in capsys.readouterr().out
        api.well()
        assert dotflow("flush", "--timeout", "100") == 0  # it is given the time for it
    assert [one["status"] for one in api.workflows.values()] == ["Completed"]


def test_dead_letters_are_shown_with_the_servers_words(api, capsys):
    """What was refused for good is listed with its place, the status and the reason."""
    refused_run(api)
    found = report(capsys)
    post, patch = found["dead_letters"]
    assert (post["kind"], post["status"]) == ("task post", 422)
    assert post["task"] == patch["task"]  # either may be the first
    assert "I like no tasks" in post["reason"]
    assert patch["kind"] == "task patch"
    assert "its POST was refused" in patch["reason"]
    assert found["destinations"][0]["dead"] == 2
    assert dotflow("status") == 0
    out = capsys.readouterr().out
    assert (
        f"dead letter {post['id'][:12]}: task post {post['task']} of {post['workflow']}: 422" in out
    )
    assert TOKEN not in json.dumps(found)


def test_retry_sends_dead_letters_again(api, capsys):
    """What the server takes now arrives in its order, under the ids that it had."""
    refused_run(api)
    [post, _] = report(capsys)["dead_letters"]
    assert dotflow("retry") == 0
    assert "tried again: 2" in capsys.readouterr().out
    assert sorted(task["status"] for task in api.tasks.values()) == ["Completed", "Completed"]
    assert [one.line.split()[0] for one in api.seen if one.key == post["id"]] == ["POST", "POST"]
    assert report(capsys) == {
        "folder": str(files.folder()), "destinations": [], "dead_letters": [],
    }  # fmt: skip


def test_retry_of_what_is_refused_again(api, capsys):
    """It is a dead letter once more, and one only."""
    refused_run(api)
    api.on("POST /workflows/.*/tasks", status(422, {"detail": "still none"}))
    assert dotflow("retry") == 0
    letters = report(capsys)["dead_letters"]
    assert len(letters) == 2
    assert "still none" in letters[0]["reason"]


def test_retry_of_one(api, capsys):
    """An id, or its beginning, chooses a dead letter."""
    refused_run(api)
    [post, patch] = report(capsys)["dead_letters"]
    assert dotflow("retry", post["id"][:12]) == 0
    assert "tried again: 1" in capsys.readouterr().out
    assert [one["id"] for one in report(capsys)["dead_letters"]] == [patch["id"]]


def test_an_update_that_was_refused_sets_nothing_back(api, capsys):
    """An update on the way is not sent again once the end is there."""
    api.on("PATCH /tasks/srv-1", status(400, {"detail": "not now"}), times=1)
    ran = program()
    assert ran.returncode == 0
    letters = dead_letters.all_letters()
    dotflow("retry")
    assert len(letters) == 1
    assert sorted(task["status"] for task in api.tasks.values()) == ["Completed", "Completed"]


def test_drop(api, capsys):
    """Dropped is gone: one, or all; without a word of which nothing is."""
    refused_run(api)
    [post, _] = report(capsys)["dead_letters"]
    assert dotflow("drop") == 1
    assert "--all" in capsys.readouterr().err
    assert dotflow("drop", "nothing-like-it") == 1
    assert "No dead letter begins with 'nothing-like-it'" in capsys.readouterr().err
    assert dotflow("drop", post["id"]) == 0
    assert len(report(capsys)["dead_letters"]) == 1
    assert dotflow("drop", "--all") == 0
    assert report(capsys)["dead_letters"] == []


def test_spans_are_sent_too(capsys, monkeypatch):
    """Spans that wait for an OTLP endpoint are shown, and sent when it is there."""
    with OtlpReceiver() as receiver:
        receiver.is_away = True
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_url, "DOTFLOW_SERVER": "otel",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1", "DOTFLOW_FLUSH_TIMEOUT": "3",
        }  # fmt: skip
        assert program(**environment).returncode == 0
        [shown] = report(capsys)["destinations"]
        assert shown["destination"].startswith(f"OTLP endpoint {receiver.http_url}")
        assert shown["pending"] == 3  # spans
        assert dotflow("flush") == 1
        assert "3 spans: set OTEL_EXPORTER_OTLP_ENDPOINT to this address" in capsys.readouterr().out
        receiver.is_away = False
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_url)
        capsys.readouterr()
        assert dotflow("flush") == 0
        assert "delivered: 3 spans" in capsys.readouterr().out
        assert sorted(span.name for span in receiver.spans) == ["etl", "one", "two"]
