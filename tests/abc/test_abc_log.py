"""The Log contract: levels, and the two formats."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone

import pytest

from dotflow import Task, action
from dotflow.abc.log import LEVELS, Log, LogRecord, LogRecordError


class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.levelname, record.getMessage()))


def make(**attributes):
    kept = Kept()
    logger = logging.Logger("kept")  # noqa: LOG001 - one that nothing else knows
    logger.addHandler(kept)
    log = type("Made", (Log,), {"_logger": logger, **attributes})()
    return log, kept.lines


@action
def step():
    return 1


@pytest.fixture
def task():
    made = Task(task_id=4, step=step, workflow_id="100%")
    made._status = "Failed"
    return made


def test_levels():
    """LEVELS are the stdlib's numbers."""
    assert {
        name: getattr(logging, name) for name in ("DEBUG", "INFO", "WARNING", "ERROR")
    } == LEVELS


@pytest.mark.parametrize(
    ("lowest", "written"),
    [
        (None, ["INFO", "WARNING", "ERROR"]),
        (logging.DEBUG, ["DEBUG", "INFO", "WARNING", "ERROR"]),
        (logging.ERROR, ["ERROR"]),
        ("WARNING", ["WARNING", "ERROR"]),
    ],
)
def test_nothing_below_the_level(task, lowest, written):
    """Below the level nothing is written; the default is INFO."""
    log, lines = make(**({} if lowest is None else {"_level": lowest}))
    for method in (log.debug, log.info, log.warning, log.error):
        assert method(task=task) is None
    assert [level for level, _ in lines] == written


def test_simple(task):
    """The simple line names workflow, task and status."""
    log, lines = make()
    log.info(task=task)
    assert lines == [("INFO", "ID 100% - 4 - Failed")]


def test_simple_error(task):
    """At ERROR the line ends with the traceback of the last error; without errors with none."""
    log, lines = make()
    log.error(task=task)
    task.errors = ValueError("one")
    task.errors = ValueError("two")
    log.warning(task=task)
    log.error(task=task)
    assert [text for _, text in lines[:2]] == ["ID 100% - 4 - Failed"] * 2
    assert lines[2][1] == f"ID 100% - 4 - Failed\n{task.errors[1].traceback}"


def test_simple_without_a_task():
    """Without a task the line holds the keyword arguments."""
    log, lines = make()
    log.info(started="now", jobs=3)
    assert lines == [("INFO", "started=now jobs=3")]


def test_json(task):
    """The json line is one object; duration and retry_count are left out where there are none."""
    log, lines = make(_format="json")
    log.info(task=task)
    task.duration, task.retry_count = 0.0, 2
    task.errors = ValueError("half \ud800 a pair")
    log.info(task=task)
    log.error(task=task)
    plain, run, error = (json.loads(text) for _, text in lines)
    when = datetime.fromisoformat(plain.pop("timestamp"))
    assert abs((datetime.now(timezone.utc) - when).total_seconds()) < 60
    assert plain == {
        "level": "INFO", "workflow_id": "100%", "task_id": "4", "status": "Failed",
    }  # fmt: skip
    assert (run["duration"], run["retry_count"]) == (0.0, 2)
    assert "error" not in run
    assert error["error"] == {"exception": "ValueError", "message": "half \ud800 a pair"}
    assert error["level"] == "ERROR"


def test_json_without_a_task():
    """Without a task the same record is filled from the keyword arguments, as text."""
    log, lines = make(_format="json")
    log.warning(workflow_id=5, status=None, unknown="x")
    record = json.loads(lines[0][1])
    assert (record["level"], record["workflow_id"], record["status"], record["task_id"]) == (
        "WARNING", "5", "None", "",
    )  # fmt: skip
    assert "unknown" not in record


def test_records():
    """The records default to empty texts, and None for duration, retry_count and error."""
    assert LogRecordError().model_dump() == {"exception": "", "message": ""}
    empty = dict.fromkeys(("timestamp", "level", "workflow_id", "task_id", "status"), "")
    assert LogRecord().model_dump() == empty | dict.fromkeys(("duration", "retry_count", "error"))
