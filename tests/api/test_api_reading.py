"""What reading gives: true times, pages by key, and nothing that was not asked for."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event

from dotflow.api.database import open_engine
from dotflow.api.envelope import Envelope
from dotflow.api.errors import BadCursorError, NotFoundError
from dotflow.api.reading import Reading, RunFilter
from dotflow.api.store import Store
from dotflow.api.times import Times, read_value
from dotflow.api.wanted import make_cursor

START = datetime(2031, 1, 1, tzinfo=timezone.utc)  # later than all that other tests report
PLAN = [{"id": number, "name": f"step {number}", "group_name": "g"} for number in range(1, 6)]
ERROR = {"attempt": 1, "exception": "ValueError", "message": "Größe 50%", "traceback": "..."}


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def times(
    begin: float | None = None, end: float | None = None, *tries: tuple[float, float]
) -> Times:
    """Gives times as a run two hours east of us says them."""

    def said(number: float | None) -> str | None:
        if number is None:
            return None
        return minute(number).astimezone(timezone(timedelta(hours=2))).isoformat()

    attempts = [[said(one), said(other)] for one, other in tries]
    read = read_value({"started_at": said(begin), "finished_at": said(end), "attempts": attempts})
    assert read is not None
    return read


@pytest.fixture(scope="module")
def engine(database: str) -> Iterator[Engine]:
    opened = open_engine(database)
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def name(engine: Engine) -> str:
    """Fills in seven runs of one workflow, a minute apart; the first one was resumed."""
    name = f"orders {uuid4().hex}"
    with Store(engine).writing() as writing:
        for number in range(7):
            run = f"{name}/{number}"
            opens = Envelope(opens="a", times=times(number))
            writing.add_workflow(
                {"id": run, "status": "In progress", "name": name, "tasks": json.dumps(PLAN)}, opens
            )
            for task in (1, 2, 3):
                values = {"task_id": task, "name": f"task {task}", "group_name": "g"}
                made = writing.add_task(run, {**values, "status": "In progress"}, opens)
                end: dict[str, Any] = {"status": "Completed", "current_context": '{"a":1}'}
                if task == 2:
                    end = {"status": "Failed", "errors": json.dumps([ERROR]), "retry_count": 1}
                ended = times(
                    number, number + 1, (number, number + 0.5), (number + 0.5, number + 1)
                )
                writing.change_task(made["id"], end, Envelope(opens="a", times=ended))
        first = f"{name}/0"
        end = {"status": "Failed", "duration": 240.0}
        writing.change_workflow(first, end, Envelope(opens="a", times=times(0, 4)))
        begin = {"status": "In progress"}
        writing.change_workflow(first, begin, Envelope(opens="b", times=times(100)))
    return name


@pytest.fixture
def reading(engine: Engine) -> Reading:
    return Reading(engine)


def test_pages_go_by_key(reading: Reading, name: str) -> None:
    """Pages have each run once, those that began last first, also while others come in."""
    wanted, seen, after = RunFilter(name=name), [], None
    while True:
        page = reading.runs(wanted, 3, after)
        seen += [one.id for one in page.items]
        if (after := page.next) is None:
            break
    assert seen == [f"{name}/{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert reading.count(wanted) == 7
    assert reading.count(RunFilter()) >= 7
    half = base64.b64encode(b'["2026-01-01T00:00:00+00:00", "\\ud800"]').decode()
    for bad in ("x", "W10=", "é", half):
        with pytest.raises(BadCursorError):
            reading.runs(wanted, 3, bad)


def test_filters(reading: Reading, name: str) -> None:
    """Runs are found by status, by when they began, and by words of names and errors."""

    def found(**wanted: Any) -> list[str]:
        return [one.id[-1] for one in reading.runs(RunFilter(name=name, **wanted)).items]

    assert found(status=("In progress",)) == list("6543210")
    assert found(status=("Failed", "Completed")) == []
    assert found(since=minute(2), until=minute(4)) == ["3", "2"]
    assert found(text="größe 50%") == found(text="TASK 2") == list("6543210")
    assert found(text=f"{name}/3".upper()) == ["3"]
    for nowhere in ("gr_ße", "50%%", "task 1", "\0", "%" * 99_999):
        assert found(text=nowhere) == []


def test_run_has_its_own_times(reading: Reading, name: str) -> None:
    """A run that goes on began when it first did, has no end, and knows who opened it when."""
    run = reading.run(f"{name}/0")
    assert (run.started_at, run.finished_at, run.status) == (START, None, "In progress")
    assert (run.planned, run.counts, run.opened) == (5, {"Completed": 2, "Failed": 1}, 2)
    first, second = reading.openings(run.id)
    assert (first.run, first.started_at, first.finished_at) == ("a", minute(0), minute(4))
    assert (first.status, second.status) == ("Failed", "In progress")
    assert (second.run, second.started_at, second.finished_at) == ("b", minute(100), None)
    assert [one.started_at for one in reading.trend(name, 2)] == [minute(5), minute(6)]
    assert reading.names(name.upper()) == [name]


def test_tasks_by_key_without_what_is_large(reading: Reading, name: str) -> None:
    """Tasks come by their ids; contexts only if asked, errors as a count if not."""
    page = reading.tasks(f"{name}/1", limit=2)
    assert ([one.task_id for one in page.items], page.next) == ([1, 2], 2)
    failed = page.items[1]
    assert (failed.contexts, failed.errors, failed.retry_count) == (None, [ERROR], 1)
    assert (failed.started_at, failed.finished_at) == (minute(1), minute(2))
    assert failed.attempts == [(minute(1), minute(1.5)), (minute(1.5), minute(2))]
    rest = reading.tasks(f"{name}/1", after=page.next, errors=False, contexts=True)
    assert ([one.task_id for one in rest.items], rest.next) == ([3], None)
    assert rest.items[0].errors is None
    assert rest.items[0].contexts == {
        "initial_context": "null", "current_context": '{"a":1}', "previous_context": "null",
    }  # fmt: skip
    (only,) = reading.tasks(f"{name}/1", status=("Failed",), errors=False).items
    assert (only.task_id, only.error_count, only.last_error) == (2, 1, "ValueError")
    assert reading.task(f"{name}/1", 2) == reading.task_by_server_id(only.server_id)
    for unknown in (lambda: reading.task(name, 1), lambda: reading.tasks(name)):
        with pytest.raises(NotFoundError):
            unknown()


def test_rows_have_planned_tasks_too(reading: Reading, name: str) -> None:
    """A waterfall's rows go by key through those with a record and those with a plan only."""
    page = reading.rows(f"{name}/1", limit=2)
    rest = reading.rows(f"{name}/1", after=page.next or 0)
    rows = [*page.items, *rest.items]
    assert [one.task_id for one in rows] == [1, 2, 3, 4, 5]
    assert [one.status for one in rows[2:]] == ["Completed", "Not started", "Not started"]
    assert (rows[1].last_error, rows[1].attempts[1]) == ("ValueError", (minute(1.5), minute(2)))
    assert rest.next is None


def test_rows_of_a_status_or_since_a_moment(reading: Reading, name: str) -> None:
    """What is only planned is not started; what changed was reported, and told of anew."""
    run = f"{name}/1"

    def numbers(**wanted: Any) -> list[int]:
        return [one.task_id for one in reading.rows(run, **wanted).items]

    assert numbers(status=("Not started",)) == [4, 5]
    assert numbers(status=("Failed", "Not started"), after=2) == [4, 5]
    assert numbers(status=("Failed",)) == [2]
    now = datetime.now(timezone.utc)
    assert numbers(since=now - timedelta(days=9000)) == [1, 2, 3]
    assert numbers(since=now + timedelta(days=9000)) == []
    assert [reading.neighbours(run, number) for number in (1, 3, 5)] == [
        (None, 2),
        (2, 4),
        (4, None),
    ]
    for unknown in (lambda: reading.rows(name, since=now), lambda: reading.neighbours(name, 1)):
        with pytest.raises(NotFoundError):
            unknown()


def test_changes_are_told_by_run(reading: Reading, engine: Engine, name: str) -> None:
    """A run has changed where it, or one of its tasks, has."""
    since = max(moment for _, moment in reading.changes(START - timedelta(days=9000), 10**6))
    with Store(engine).writing() as writing:
        writing.change_task(writing.server_id(f"{name}/4", 1), {"status": "Completed"})
    changed = dict(reading.changes(since + timedelta(microseconds=1)))
    assert [one for one in changed if one.startswith(name)] == [f"{name}/4"]


def test_the_first_failed_task_of_each_run(reading: Reading, engine: Engine, name: str) -> None:
    """Of several failed tasks the first one is given, and of a run without any none."""
    with Store(engine).writing() as writing:
        for task in (7, 6):
            fields = {"task_id": task, "name": "later", "group_name": "g", "status": "Failed"}
            writing.add_task(f"{name}/2", fields, Envelope())
    found = reading.first_failed([f"{name}/1", f"{name}/2", "unknown"])
    first = (2, "task 2", "ValueError")
    assert found == {f"{name}/1": first, f"{name}/2": first}
    assert reading.first_failed([]) == {}


def test_no_query_looks_at_all_tasks(tmp_path: Path) -> None:
    """Each goes by an index that its filter and its order have: none grows with the database."""
    engine = open_engine(f"sqlite:///{tmp_path}/empty.db")
    reading, asked = Reading(engine), []

    @event.listens_for(engine, "before_cursor_execute")
    def note(*call: Any) -> None:
        asked.append((call[2], call[3]))

    now = datetime.now(timezone.utc)
    with Store(engine).writing() as writing:
        writing.add_workflow({"id": "w", "status": "New"})
    asked.clear()
    after = reading.runs(limit=1).next or make_cursor(reading.run("w"))
    for wanted in (
        RunFilter(), RunFilter(status=("Failed",)), RunFilter(name="etl"), RunFilter(since=now),
    ):  # fmt: skip
        reading.runs(wanted, 5, after)
    reading.tasks("w", status=("Failed",), after=3)
    reading.rows("w", after=3, status=("Not started",))
    reading.rows("w", since=now)
    reading.neighbours("w", 3)
    reading.openings("w")
    reading.trend("etl")
    reading.changes(now)
    statements = [one for one in asked if one[0].startswith("SELECT")]
    with engine.connect() as connection:
        for statement, values in statements:
            steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            plan = [step[3] for step in steps]
            whole = re.compile("SCAN (tasks|(workflows|openings)$)")
            assert not [one for one in plan if whole.match(one)], (statement, plan)
    assert len(statements) > 15
    engine.dispose()
