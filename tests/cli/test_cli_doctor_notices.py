"""`dotflow doctor`: where people see a trace, and who is told of a failure."""

from __future__ import annotations

import json
import sys

import pytest

from dotflow.cli.setup import Command


@pytest.fixture
def doctor(capsys, monkeypatch):
    """Runs `dotflow doctor --json` with variables; settings, faults, and all that it said."""

    def run(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        Command(["doctor", "--json"]).run()
        said = capsys.readouterr()
        found = json.loads(said.out)
        settings = {one["variable"]: one["value"] for one in found["settings"]}
        faults = [(one["problem"], one["remedy"]) for one in found["faults"]]
        return settings, faults, said.out + said.err

    return run


def test_who_is_told_and_where_a_trace_is_seen(doctor):
    """The settings say it, without any part of an address of notices."""
    settings, faults, said = doctor(
        DOTFLOW_NOTIFY_URLS="json://ada:hunter2@127.0.0.1:9/s3cr3t",
        DOTFLOW_TRACE_URL="https://jaeger/trace/{trace_id}",
    )
    assert settings["DOTFLOW_NOTIFY_URLS"] == "address 1 (json)"
    assert settings["DOTFLOW_NOTIFY_ON"] == "failure"
    assert settings["DOTFLOW_TRACE_URL"] == "https://jaeger/trace/{trace_id}"
    assert not [one for one in faults if "NOTIFY" in one[0] or "TRACE_URL" in one[0]]
    assert "hunter2" not in said
    assert "s3cr3t" not in said


def test_what_is_wrong_with_them(doctor):
    """Each fault has its remedy, and no address."""
    settings, faults, said = doctor(
        DOTFLOW_NOTIFY_URLS="slak://T0ken/S3cret",
        DOTFLOW_NOTIFY_ON="sometimes",
        DOTFLOW_TRACE_URL="https://ada:hunter2@jaeger/{trace_id}",
    )
    problems = {problem.partition(" ")[0].rstrip(":"): remedy for problem, remedy in faults}
    assert "docs/guides/notify.md" in problems["DOTFLOW_NOTIFY_URLS"]
    assert "failure or always" in problems["DOTFLOW_NOTIFY_ON"]
    assert "without a password" in problems["DOTFLOW_TRACE_URL"]
    assert settings["DOTFLOW_NOTIFY_URLS"] == "nobody"
    assert "hunter2" not in said
    assert "S3cret" not in said


def test_apprise_is_not_there(doctor, monkeypatch):
    """One fault says what to install."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    _, faults, _ = doctor(DOTFLOW_NOTIFY_URLS="json://127.0.0.1:9 json://127.0.0.1:10")
    remedies = [remedy for problem, remedy in faults if "Apprise is not installed" in problem]
    assert remedies == ["pip install 'dotflow[notify]'"]
