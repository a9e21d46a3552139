"""Log lines say no credential, and what `redact` hides they hide too."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from dotflow import Config, DotFlow, action
from dotflow.logging import logger
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, ServerAPI, ServerDefault

SECRET, FREE = "hunter2", "a free text"


@action(retry=2, retry_delay=0)
def fails():
    password = f"password={SECRET}"
    raise ValueError(f"cannot log in with {password}, said {FREE}")


def lines_of(log, server=None, name="etl"):
    flow = DotFlow(config=Config(log=log, server=server), name=name)
    flow.task.add(fails)
    flow.start()
    if server is not None:
        server.close(0)
    return Path("flow.log").read_text()


def log_of(kind="simple", **kwargs):
    return LogDefault(output="file", path="flow.log", format=kind, **kwargs)


def hide(role, text):
    assert role == "error"
    assert type(text) is str
    return text.replace(FREE, "[hidden]")


@pytest.mark.parametrize("kind", ["simple", "json"])
def test_lines_name_no_credential(kind):
    """Neither the reason of a retry, nor the error, nor its traceback, nor a name says one."""
    lines = lines_of(log_of(kind), name="etl token=hunter2")
    assert SECRET not in lines
    assert lines.count("with password=***") >= 2
    assert "etl token=***" in lines


@pytest.mark.parametrize("kind", ["simple", "json"])
def test_a_user_may_want_whole_values(kind, monkeypatch):
    """The variable switches it off, and so does the argument, which wins."""
    assert f"password={SECRET}" in lines_of(log_of(kind, whole_values=True))
    Path("flow.log").unlink()
    monkeypatch.setenv("DOTFLOW_WHOLE_VALUES", "1")
    assert f"password={SECRET}" in lines_of(log_of(kind))
    Path("flow.log").unlink()
    assert SECRET not in lines_of(log_of(kind, whole_values=False)).replace('f"password={SEC', "")


def test_the_log_may_have_a_redact_of_its_own():
    """It gets the message and the traceback, with the role of errors."""
    lines = lines_of(log_of(redact=hide))
    assert FREE not in lines
    assert "[hidden]" in lines
    assert SECRET not in lines


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: ServerOtel(set_global=False, **options),
        ServerDefault,
        lambda **options: ServerDefault("http://127.0.0.1:9", "token", **options),
        lambda **options: ServerAPI("http://127.0.0.1:9", "token", **options),
    ],
)
def test_lines_hide_what_reports_hide(make):
    """The options of the run's Server hold for its log lines."""
    assert FREE not in lines_of(log_of(), make(redact=hide))
    Path("flow.log").unlink()
    assert f"password={SECRET}" in lines_of(log_of(), make(whole_values=True))


def test_json_lines_are_json():
    """What is masked is masked within the texts."""
    for line in lines_of(log_of("json")).splitlines():
        found = json.loads(line)
        if "error" in found:
            assert found["error"]["message"].startswith("cannot log in with password=***")


class Loud(Exception):
    def __str__(self):
        raise SystemExit


def test_our_own_logger_names_no_credential(caplog):
    """What dotflow says of itself, and the exceptions that it shows, hold none."""
    with caplog.at_level(logging.WARNING, "dotflow"):
        logger.warning("It failed: %s", "token=hunter2")
        logger.warning("As is: %s", 1)
        for error in (RuntimeError("postgres://ada:hunter2@host"), RuntimeError("plain"), Loud()):
            logger.warning("It raised.", exc_info=error)
    said, as_is, first, plain, loud = caplog.records[:5]
    assert said.getMessage() == "It failed: token=***"
    assert as_is.args == (1,)
    assert SECRET not in caplog.text
    assert "postgres://ada:***@host" in caplog.text
    assert first.exc_info is None
    assert plain.exc_info[1].args == ("plain",)
    assert "str() failed" in loud.exc_text
