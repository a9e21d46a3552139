"""Single calls of tasks: the short way, PostgreSQL's, does what the long one does."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, select, text

from dotflow.api import database as module
from dotflow.api.database import open_engine
from dotflow.api.envelope import Envelope
from dotflow.api.errors import ConflictError, KeyReusedError, NotFoundError
from dotflow.api.reading import Reading
from dotflow.api.store import Store
from dotflow.api.tables import idempotency_keys
from dotflow.api.times import Times

TASK = {"task_id": 1, "name": "step", "group_name": "g", "status": "In progress"}
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
_ALIVE = "SELECT pid FROM pg_stat_activity WHERE pid = :pid"
SPAN = f"00-{'a' * 32}-{'b' * 16}-01"
DONE = {
    "status": "Failed",
    "duration": 1.5,
    "errors": '[{"exception": "E", "message": "m"}]',
    "current_context": "[1]",
    "previous_context": None,
}


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = Store(open_engine(database))
    yield opened
    opened.close()


@pytest.fixture
def run(store: Store) -> str:
    name = uuid4().hex
    with store.writing() as writing:
        writing.add_workflow({"id": name, "status": "New"})
    return name


def message(**more: Any) -> Envelope:
    return Envelope(uuid4().hex, **more)


def is_known(store: Store, envelope: Envelope) -> bool:
    query = select(idempotency_keys).where(idempotency_keys.c.key == envelope.key)
    with store._engine.connect() as connection:
        return connection.execute(query).one_or_none() is not None


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    yield seen
    event.remove(store._engine, "before_cursor_execute", note)


def test_record_is_that_of_the_long_way(store: Store, run: str) -> None:
    """Both make the same of the same call, whatever it says beside its values."""
    times = Times(started_at=MOMENT, finished_at=MOMENT, attempts="[]")
    begun, ended = {"opens": "r", "traceparent": SPAN, "times": times}, {"times": times}
    short = store.add_task(run, TASK, message(**begun))
    store.change_task(short["id"], DONE, message(**ended))
    with store.writing() as writing:
        long = writing.add_task(run, {**TASK, "task_id": 2}, message(**begun))
        writing.change_task(long["id"], DONE, message(**ended))
    reading = Reading(store._engine)
    found = [asdict(reading.task(run, one["task_id"])) for one in (short, long)]
    for one in found:
        for name in ("server_id", "task_id", "created_at", "updated_at"):
            del one[name]
    assert found[0] == found[1]
    assert found[0]["trace_id"] == "a" * 32


def test_repeat_changes_nothing(store: Store, run: str) -> None:
    """It is answered as the first was, by either way; its key is good for nothing else."""
    add, change = message(), message()
    task = store.add_task(run, TASK, add)
    assert store.add_task(run, TASK, add) == task
    store.change_task(task["id"], {"status": "Retry"}, change)
    store.change_task(task["id"], {"status": "Completed"}, message())
    assert store.change_task(task["id"], {"status": "Retry"}, change).status == "Completed"
    with store.writing() as writing:
        assert writing.add_task(run, TASK, add) == task
        writing.change_task(task["id"], {"status": "Retry"}, change)
        assert writing.task(task["id"]).status == "Completed"
    with pytest.raises(KeyReusedError):
        store.change_task(task["id"], {"status": "Retry"}, add)
    with pytest.raises(KeyReusedError):
        store.add_task(run, {**TASK, "task_id": 2}, change)


def test_what_is_refused_keeps_no_key(store: Store, run: str) -> None:
    """The same message may come again when it can be applied."""
    store.add_task(run, TASK, message())
    refused = [message() for _ in range(3)]
    with pytest.raises(ConflictError):
        store.add_task(run, TASK, refused[0])
    with pytest.raises(NotFoundError):
        store.add_task(uuid4().hex, TASK, refused[1])
    with pytest.raises(NotFoundError):
        store.change_task(2**40, {"status": "Failed"}, refused[2])
    assert not any(is_known(store, one) for one in refused)


def test_same_message_many_times_at_once(store: Store, run: str) -> None:
    """One of them is applied, and all are answered alike."""
    task = store.add_task(run, TASK, message())
    add, change, other = message(), message(), {**TASK, "task_id": 2}
    with ThreadPoolExecutor(8) as pool:
        added = [*pool.map(lambda _: store.add_task(run, other, add), range(8))]
        assert added == [added[0]] * 8
        again = {"retry_count": 1}
        changed = [*pool.map(lambda _: store.change_task(task["id"], again, change), range(8))]
    assert len({one.updated_at for one in changed}) == 1


def test_of_a_run_that_has_gone_nothing_is_changed(store: Store, run: str) -> None:
    """The end that another process tells is looked at closely."""
    task = store.add_task(run, TASK, message(opens="second"))
    assert store.change_task(task["id"], DONE, message(run="first")).status == "In progress"
    assert store.change_task(task["id"], DONE, message(run="second")).status == "Failed"


def test_each_call_is_one_statement(store: Store, run: str) -> None:
    """It is what a call costs on PostgreSQL: SQLite has none to wait for."""
    if store._engine.dialect.name != "postgresql":
        pytest.skip("SQLite goes the long way")
    with statements(store) as seen:
        task = store.add_task(run, TASK, message())
        store.change_task(task["id"], {"status": "Completed"}, message())
    assert len(seen) == 2


def test_connection_that_ended_while_it_rested_is_made_anew(
    store: Store, run: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PostgreSQL that was started anew meanwhile costs no call."""
    if store._engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no server")
    monkeypatch.setattr(module, "_REST_SECONDS", 0.0)
    with store._engine.connect() as connection:
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = open_engine(database)
    with other.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})
        while connection.execute(text(_ALIVE), {"pid": mine}).one_or_none():
            time.sleep(0.01)
    other.dispose()
    assert store.add_task(run, TASK, message())["task_id"] == 1
