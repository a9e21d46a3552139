"""LogDefault: where its lines go, and what they look like."""

from __future__ import annotations

import gc
import io
import json
import logging
import logging.config
import re
import sys
import weakref
from pathlib import Path

import pytest

from dotflow import Config, DotFlow, Task, action
from dotflow.abc.log import Log
from dotflow.providers import LogDefault, LogOpenTelemetry
from dotflow.settings import Settings


@action
def step():
    return 1


@pytest.fixture
def task():
    made = Task(task_id=4, step=step, workflow_id="w")
    made.errors = ValueError("half \ud800 a pair")
    return made


@pytest.mark.parametrize(
    ("output", "console", "file"),
    [
        ("console", True, False), ("file", False, True), ("both", True, True),
    ],
)  # fmt: skip
def test_outputs(task, capsys, output, console, file):
    """Lines go to standard error, to the file, or both; the file's folders are made."""
    path = Path("deep/er/flow.log")
    log = LogDefault(output=output, path=path)
    assert isinstance(log, Log)
    capsys.readouterr()
    log.info(task=task)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("ID w - 4" in captured.err) is console
    assert (path.exists() and "ID w - 4" in path.read_text()) is file


@action
def quote():
    """A step whose error quotes what somebody else has sent."""
    raise ValueError(f"refused: {COMMAND}")


COMMAND = "\x1b]0;mine\x07\x1b[2J\rforged"


def test_no_line_commands_the_terminal(capsys):
    """Names, ids and errors are anybody's: what clears a screen or forges a line is written out."""
    config = Config(log=LogDefault())
    workflow = DotFlow(config=config, name=f"n{COMMAND}", workflow_id=f"w{COMMAND}")
    workflow.task.add(step=quote)
    workflow.start()
    said = capsys.readouterr().err
    assert not set(said) & {"\x1b", "\x07", "\r"}
    assert said.count(r"\x1b]0;mine\x07") >= 5  # ids, names, the reason, the traceback
    assert 'in quote\n    raise ValueError(f"refused: {COMMAND}")\n' in said


def test_files_are_appended_to(task):
    """A second log of the same file adds its lines."""
    for _ in range(2):
        LogDefault(output="file", path="flow.log").info(task=task)
    assert len(Path("flow.log").read_text().splitlines()) == 2


def test_the_default_path_is_the_settings():
    """The file is Settings.LOG_PATH by default."""
    assert LogDefault.__init__.__defaults__ == ("INFO", "console", Settings.LOG_PATH, "simple")


def test_simple_lines(task):
    """A simple line has the time, the level, and a logger of the instance's own."""
    first, second = (LogDefault(output="file", path=f"{n}.log") for n in "ab")
    first.warning(task=task)
    second.warning(task=task)
    pattern = r"\d{4}-.* - WARNING \[(dotflow\.\S+)\]: ID w - 4 - Not started - \w+: step\n"
    names = [re.fullmatch(pattern, Path(f"{n}.log").read_text())[1] for n in "ab"]
    assert names[0] != names[1]


@pytest.mark.parametrize("kind", ["json", "simple"])
def test_formats(task, kind):
    """Lines of the json format are bare objects, one a line."""
    log = LogDefault(output="file", path="flow.log", format=kind)
    log.info(task=task)
    log.error(task=task)
    lines = Path("flow.log").read_text().splitlines()
    if kind == "json":
        assert [json.loads(line)["level"] for line in lines] == ["INFO", "ERROR"]
    else:
        assert " - INFO [" in lines[0]


@pytest.mark.parametrize("kind", ["json", "simple"])
def test_texts_that_utf8_cannot_write(task, capsys, kind):
    """Half a surrogate pair in an error is written escaped."""
    capsys.readouterr()
    LogDefault(output="file", path="flow.log", format=kind).error(task=task)
    assert "half \\ud800 a pair" in Path("flow.log").read_text()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("DEBUG", 4),
        ("INFO", 3),
        ("WARNING", 2),
        ("ERROR", 1),
        ("error", 1),
        ("CRITICAL", 0),
    ],
)
def test_levels(task, level, written):
    """Lines below the level are not written."""
    log = LogDefault(level=level, output="file", path="flow.log", format="json")
    for method in (log.debug, log.info, log.warning, log.error):
        method(task=task)
    path = Path("flow.log")
    assert (len(path.read_text().splitlines()) if path.exists() else 0) == written


@pytest.mark.parametrize("log", [LogDefault, LogOpenTelemetry])
@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"level": "LOUD"}, "'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL', not 'LOUD'"),
        ({"level": None}, "'CRITICAL', not None"),
        ({"level": 20}, "'CRITICAL', not 20"),
        ({"output": "consol"}, "'console', 'file', 'both', not 'consol'"),
        ({"output": ["file"]}, r"'both', not \['file'\]"),
        ({"format": "xml"}, "'simple', 'json', not 'xml'"),
    ],
)
def test_what_there_is_not_is_refused(log, given, allowed):
    """A level, output or format that does not exist is refused, with those that do."""
    (name,) = given
    with pytest.raises(ValueError, match=f"^{name} must be one of .*{allowed}$"):
        log(**given, **({} if name == "output" else {"output": "file"}))
    assert not list(Path().glob("**/flow.log"))


def test_nothing_propagates(task, caplog):
    """Lines do not reach the root logger."""
    LogDefault(output="file", path="flow.log").error(task=task)
    assert caplog.records == []


def test_nothing_is_left_of_an_instance(task):
    """A log that is let go leaves no logger and no open file."""
    before = set(logging.Logger.manager.loggerDict)
    log = LogDefault(output="both", path="flow.log")
    log.info(task=task)
    handlers = log._logger.handlers
    stream = handlers[1].stream
    gone = weakref.ref(log)
    del log
    gc.collect()
    assert gone() is None
    assert stream.closed
    assert set(logging.Logger.manager.loggerDict) == before


def test_standard_error_is_that_of_now(task, monkeypatch):
    """Lines go to what sys.stderr is when they are written."""
    log = LogDefault()
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    log.info(task=task)
    assert "ID w - 4" in stream.getvalue()


def test_a_file_that_cannot_be_written_is_said_once(task, caplog, capsys):
    """A full disk is one line with the file's name, and no traceback a line; later lines follow."""
    log = LogDefault(output="file", path="/dev/full")
    for _ in range(3):
        log.info(task=task)
    assert capsys.readouterr().err.count("Traceback") == 0
    (record,) = caplog.records
    assert "/dev/full cannot be written" in record.message
    assert "No space left on device" in record.message
    stream = log._logger.handlers[0].stream
    del log
    gc.collect()
    assert stream.buffer.raw.closed
    assert len(caplog.records) == 1


def test_a_file_is_written_after_logging_was_configured(task):
    """dictConfig closes all handlers that there are: ours open their file again."""
    log = LogDefault(output="file", path="flow.log")
    log.info(task=task)
    handlers, levels = logging.root.handlers[:], logging.root.level
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    logging.root.handlers[:], logging.root.level = handlers, levels
    log.error(task=task)
    assert "ERROR" in Path("flow.log").read_text()
