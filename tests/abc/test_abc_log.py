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


@action(retry=3, retry_delay=2, backoff=True)
def step():
    return 1


@pytest.fixture
def task():
    made = Task(task_id=4, step=step, workflow_id="100%", workflow_name="etl")
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
    """The simple line has the ids, the status, and the names of workflow and step."""
    log, lines = make()
    log.info(task=task)
    assert lines == [("INFO", "ID 100% - 4 - Failed - etl: step")]


def test_simple_of_a_workflow_without_a_name():
    """Without a name it is what its span is called, too: workflow."""
    log, lines = make()
    log.info(task=Task(task_id=1, step=step, workflow_id="w"))
    assert lines == [("INFO", "ID w - 1 - Not started - workflow: step")]


def test_simple_at_the_end(task):
    """The end has the duration in seconds; a restored task says that it is."""
    log, lines = make()
    task._status, task.started_ns = "Completed", 10**9
    task.finish(3_500_000_000)
    log.info(task=task)
    task.reset(1)
    task._status, task.restored = "Completed", True
    log.info(task=task)
    assert [text for _, text in lines] == [
        "ID 100% - 4 - Completed - etl: step - 2.500 s",
        "ID 100% - 4 - Completed - etl: step - restored",
    ]


@pytest.mark.parametrize(("retries", "when"), [(1, "in 2 s"), (2, "in 4 s"), (2000, "in inf s")])
def test_simple_of_a_retry(task, retries, when):
    """A retry says which attempt failed, why, and when the next one comes."""
    log, lines = make()
    task._status, task.retry_count = "Retry", retries
    task.errors = ValueError("no luck\nat all")
    log.warning(task=task)
    if retries < 1000:
        assert lines[0][1] == (
            f"ID 100% - 4 - Retry - etl: step - attempt {retries} of 3 failed: "
            f"ValueError: no luck - the next one {when}"
        )


def test_simple_of_a_retry_at_once(task):
    """Without a delay the next attempt comes at once."""
    log, lines = make()
    task._status, task.retry_count = "Retry", 1
    task.step = action(retry=2, retry_delay=0)(lambda: None)
    task.errors = AssertionError()
    log.warning(task=task)
    assert lines[0][1].endswith("attempt 1 of 2 failed: AssertionError - the next one at once")


def test_simple_error(task):
    """At ERROR the line has the reason, and the traceback of the last error comes after it."""
    log, lines = make()
    log.error(task=task)
    task.errors = ValueError("one")
    task.errors = KeyError("two")
    log.warning(task=task)
    log.error(task=task)
    assert [text for _, text in lines[:2]] == ["ID 100% - 4 - Failed - etl: step"] * 2
    assert lines[2][1] == (
        f"ID 100% - 4 - Failed - etl: step - KeyError: 'two'\n{task.errors[1].traceback}"
    )


def test_long_and_odd_names_keep_to_their_line():
    """A name is one line, and not too long; so is a reason."""
    log, lines = make()
    task = Task(task_id=1, step=step, workflow_id="w", workflow_name="a\nb" + "x" * 500)
    task._status = "Failed"
    task.errors = ValueError("y" * 5000)
    task.errors[0].traceback = ""
    log.error(task=task)
    line = lines[0][1].removesuffix("\n")
    assert "\n" not in line
    assert line.startswith("ID w - 1 - Failed - a bxxx")
    assert len(line) < 350


def test_simple_without_a_task():
    """Without a task the line holds the keyword arguments."""
    log, lines = make()
    log.info(started="now", jobs=3)
    assert lines == [("INFO", "started=now jobs=3")]


def test_json(task):
    """The json line is one object; what has no value is left out but for the texts."""
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
        "level": "INFO", "workflow_id": "100%", "workflow_name": "etl", "task_id": "4",
        "task_name": "step", "status": "Failed",
    }  # fmt: skip
    assert (run["duration"], run["retry_count"]) == (0.0, 2)
    assert "error" not in run
    assert error["error"] == {"exception": "ValueError", "message": "half \ud800 a pair"}
    assert error["level"] == "ERROR"


def test_json_of_a_retry(task):
    """A retry has the reason, and the seconds until the next attempt."""
    log, lines = make(_format="json")
    task._status, task.retry_count = "Retry", 2
    task.errors = KeyError("user_id")
    log.warning(task=task)
    record = json.loads(lines[0][1])
    assert record["error"] == {"exception": "KeyError", "message": "KeyError: 'user_id'"}
    assert (record["retry_count"], record["retry_in"]) == (2, 4.0)
    assert LogRecord(**record).retry_in == 4.0


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
    texts = ("timestamp", "level", "workflow_id", "workflow_name", "task_id", "task_name", "status")
    others = ("duration", "retry_count", "retry_in", "error")
    assert LogRecord().model_dump() == dict.fromkeys(texts, "") | dict.fromkeys(others)
