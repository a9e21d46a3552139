"""Runs that ended go by age or number, keys by age, and nothing else goes."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from sqlalchemy import Engine, select, update

from dotflow.api import ApiServer, create_app
from dotflow.api.database import open_engine
from dotflow.api.envelope import Envelope
from dotflow.api.keeping import KEY_AGE, Keep, Keeper, read_keep
from dotflow.api.reading import Reading
from dotflow.api.store import Store
from dotflow.api.tables import deletions, idempotency_keys, openings, tasks, workflows

DAY = timedelta(days=1)
NOW = datetime.now(timezone.utc)


@pytest.fixture
def engine(database: str, tmp_path: Path) -> Iterator[Engine]:
    """A database that no other test sees."""
    if database.startswith("sqlite"):
        opened = open_engine(f"sqlite:///{tmp_path}/own.db")
    else:
        schema = f"keeping_{uuid4().hex}"
        shared = open_engine(database)
        with shared.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        shared.dispose()
        opened = open_engine(f"{database}?options=-csearch_path%3D{schema}")
    yield opened
    opened.dispose()


def add_run(engine: Engine, run: str, status: str, age: timedelta, size: int = 1) -> None:
    """Adds a run that last changed so long ago."""
    with Store(engine).writing() as writing:
        values = {"id": run, "status": status, "tasks": "[]"}
        writing.add_workflow(values, Envelope(f"key of {run}", opens="a"))
        for number in range(size):
            task = {"task_id": number, "name": "step", "group_name": "", "status": "Completed"}
            writing.add_task(run, task)
    with engine.begin() as connection:
        moments = {"created_at": NOW - age, "updated_at": NOW - age}
        connection.execute(update(workflows).where(workflows.c.id == run).values(**moments))


def kept(engine: Engine) -> set[str]:
    """Gives the runs that are there, and holds that nothing is left of others."""
    with engine.connect() as connection:
        runs = set(connection.execute(select(workflows.c.id)).scalars())
        for column in (tasks.c.workflow_id, openings.c.workflow_id):
            assert set(connection.execute(select(column)).scalars()) == runs
    return runs


def test_runs_that_ended_long_ago_are_deleted(engine: Engine) -> None:
    """Those under way are kept at any age; whoever listens hears of the others."""
    add_run(engine, "done", "Completed", 31 * DAY, size=120)
    add_run(engine, "failed", "Failed", 31 * DAY)
    add_run(engine, "going", "In progress", 90 * DAY)
    add_run(engine, "new", "New", 90 * DAY)
    add_run(engine, "recent", "Completed", 29 * DAY)
    Keeper(engine, Store(engine), Keep(age=30 * DAY)).sweep(NOW)
    assert kept(engine) == {"going", "new", "recent"}
    changed = {run for run, _ in Reading(engine).changes(NOW)}
    assert {"done", "failed"} <= changed


def test_runs_beyond_a_number_are_deleted(engine: Engine) -> None:
    """Those that began last are kept, and those under way."""
    keeper = Keeper(engine, Store(engine), Keep(runs=3))
    for number, status in enumerate(["Completed", "Failed", "In progress", "Failed", "Completed"]):
        add_run(engine, str(number), status, (9 - number) * DAY)
        if number == 2:
            keeper.sweep(NOW)
            assert kept(engine) == {"0", "1", "2"}
    add_run(engine, "5", "Completed", DAY)
    keeper.sweep(NOW)
    assert kept(engine) == {"2", "3", "4", "5"}


def test_run_that_was_taken_up_again_is_kept(engine: Engine) -> None:
    """What has changed since it was chosen is not dropped."""
    add_run(engine, "1", "Completed", 31 * DAY)
    with Store(engine).writing() as writing:
        assert writing.drop_workflow("1", NOW, 50) is None
        writing.change_workflow("1", {"status": "In progress"})
        assert writing.drop_workflow("1", NOW - 31 * DAY, 50) is None
    assert kept(engine) == {"1"}


def test_servers_share_what_is_to_be_deleted(engine: Engine) -> None:
    """None waits for a run that another server is just deleting."""
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one server")
    for run in ("1", "2", "3"):
        add_run(engine, run, "Completed", 31 * DAY)
    with Store(engine).writing() as writing:
        assert writing.drop_workflow("2", NOW - 31 * DAY, 50)
        Keeper(engine, Store(engine), Keep(age=30 * DAY)).sweep(NOW)
        assert kept(engine) == {"2"}
    assert kept(engine) == set()


def test_what_is_of_use_for_a_while_is_forgotten(engine: Engine) -> None:
    """A deletion is told for an hour; that somebody logged out is known while a cookie may live."""
    store = Store(engine)
    add_run(engine, "1", "Completed", DAY)
    with store.writing() as writing:
        writing.delete_workflow("1")
        writing.end_session("s")
    keeper = Keeper(engine, store)

    def known() -> tuple[bool, bool]:
        with engine.connect() as connection:
            return bool(connection.execute(select(deletions)).all()), store.has_ended("s")

    for age, wanted in ((DAY / 48, (True, True)), (DAY, (False, True)), (9 * DAY, (False, False))):
        keeper.sweep(NOW + age)
        assert known() == wanted


def test_keys_are_known_as_long_as_a_message_may_be_repeated(engine: Engine) -> None:
    """No outbox repeats a message after a month; its key is known for two."""
    keeper = Keeper(engine, Store(engine))
    for number in range(3):
        add_run(engine, str(number), "Completed", DAY)

    def keys() -> int:
        with engine.connect() as connection:
            return len(connection.execute(select(idempotency_keys)).all())

    Keeper(engine, Store(engine), key_age=2 * DAY).sweep(NOW + DAY)
    assert keys() == 3
    keeper.sweep(NOW + KEY_AGE - DAY)
    assert keys() == 3
    Keeper(engine, Store(engine), key_age=2 * DAY).sweep(NOW + 3 * DAY)
    assert keys() == 0
    add_run(engine, "3", "Completed", DAY)
    keeper.sweep(NOW + KEY_AGE + DAY)
    assert keys() == 0
    assert kept(engine) == {"0", "1", "2", "3"}


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("30d", Keep(age=30 * DAY)),
        ("12h", Keep(age=DAY / 2)),
        ("08w", Keep(age=56 * DAY)),
        ("1000", Keep(runs=1000)),
    ],
)
def test_what_is_kept_is_an_age_or_a_number(text: str, keep: Keep) -> None:
    """An age in hours, days or weeks, or a number of runs."""
    assert read_keep(text) == keep


@pytest.mark.parametrize("text", ["", "0", "0d", "-1", "30m", "1.5d", "999999d"])
def test_all_else_is_refused(text: str, sqlite_url: str) -> None:
    """What could delete all, or says nothing, is no answer to what is kept."""
    with pytest.raises(ValueError, match="give an age \\(12h, 30d, 8w\\) or a number"):
        create_app(sqlite_url, keep=text)


def test_server_deletes_what_it_is_not_to_keep(sqlite_url: str) -> None:
    """A server with a limit keeps to it while it goes on, and ends at once."""
    engine = open_engine(sqlite_url)
    add_run(engine, "older", "Completed", 2 * DAY)
    add_run(engine, "newer", "Completed", DAY)
    engine.dispose()
    with ApiServer(sqlite_url, keep="1") as server:
        while requests.get(f"{server.url}/workflows/older", timeout=60).status_code != 404:
            time.sleep(0.05)
        assert requests.get(f"{server.url}/workflows/newer", timeout=60).ok
