"""What becomes of a bulk where the database fails, is busy, or takes long."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from dotflow.api.bulk import Answer, apply_all
from dotflow.api.database import open_engine
from dotflow.api.errors import NotFoundError
from dotflow.api.reading import Reading
from dotflow.api.schemas import BulkItem
from dotflow.api.store import Store
from dotflow.api.writing import Writing


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = Store(open_engine(database))
    yield opened
    opened.close()


def item(method: str, path: str, **body: Any) -> BulkItem:
    return BulkItem(method=method, path=path, idempotency_key=uuid4().hex, body=body)


def workflows(store: Store, count: int = 3) -> list[str]:
    """Adds workflows and gives their ids."""
    ids = [uuid4().hex for _ in range(count)]
    answers = apply_all(store, [item("POST", "/workflows", id=one) for one in ids], 60)
    assert [answer.status for answer in answers] == [201] * count
    return ids


def ends(ids: list[str]) -> list[BulkItem]:
    return [item("PATCH", f"/workflows/{one}", status="Completed") for one in ids]


def states(store: Store, ids: list[str]) -> list[str]:
    return [Reading(store._engine).run(one).status for one in ids]


def statuses(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


@contextmanager
def held(store: Store, database: str, workflow_id: str) -> Iterator[None]:
    """Holds a lock that a writer of this workflow needs: its row's, or the whole SQLite file's."""
    if database.startswith("sqlite"):
        connection = sqlite3.connect(make_url(database).database or "", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
        return
    with store._engine.connect() as other:
        query = text("SELECT id FROM workflows WHERE id = :id FOR UPDATE")
        other.execute(query, {"id": workflow_id})
        yield
        other.rollback()


def test_time_ends_the_work(store: Store) -> None:
    """When time is over what was done is answered, one item at least, and no other is applied."""
    ids = workflows(store)
    assert statuses(apply_all(store, ends(ids), seconds=0)) == [200]
    assert states(store, ids) == ["Completed", "New", "New"]


def test_time_ends_the_work_between_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow database gets as many items done as time allows, and exactly those are answered."""
    ids = workflows(store, 100)
    change = Writing.change_workflow

    def slow(*arguments: Any) -> None:
        time.sleep(0.01)
        change(*arguments)

    monkeypatch.setattr(Writing, "change_workflow", slow)
    answers = apply_all(store, ends(ids), seconds=0.7)
    done = len(answers)
    assert 0 < done < 100
    assert statuses(answers) == [200] * done
    assert states(store, ids) == ["Completed"] * done + ["New"] * (100 - done)


@pytest.mark.slow
def test_locked_record_is_503_for_its_item(store: Store, database: str) -> None:
    """An item whose record another holds is to be tried later; the bulk ends in time."""
    ids = workflows(store)
    begun = time.monotonic()
    with held(store, database, ids[1]):
        answers = apply_all(store, ends(ids), seconds=4)
    assert time.monotonic() - begun < 25  # a single call waits for 30
    alone = database.startswith("postgres")
    assert statuses(answers)[:2] == ([200, 503] if alone else [503, 503])
    assert answers[1].retry_after == 1
    assert states(store, ids)[:2] == (["Completed", "New"] if alone else ["New", "New"])
    if alone:
        assert statuses(answers) == [200, 503, 200]


def test_single_calls_wait_as_ever_after_a_bulk(store: Store, sqlite_url: str) -> None:
    """The short patience of a bulk does not stay with its connection."""
    own = Store(open_engine(sqlite_url))
    workflows(own)
    with own._engine.connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 30_000
    own.close()


def test_deadlock_costs_an_item_at_most(store: Store, database: str) -> None:
    """Where two transactions wait for each other each item is applied or answered 503."""
    if database.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    first, second = workflows(store, 2)
    update = text("UPDATE workflows SET name = 'other' WHERE id = :id")
    answers: list[Answer] = []
    bulk = threading.Thread(target=lambda: answers.extend(apply_all(store, ends([first, second]))))
    with store._engine.connect() as other:
        other.execute(update, {"id": second})
        bulk.start()
        time.sleep(0.4)
        try:
            other.execute(update, {"id": first})
            other.commit()
        except OperationalError:
            other.rollback()
    bulk.join(60)
    assert len(answers) == 2
    assert set(statuses(answers)) <= {200, 503}
    applied = ["Completed" if answer.status == 200 else "New" for answer in answers]
    assert states(store, [first, second]) == applied


def failing(store: Store, times: int) -> Callable[[Any], None]:
    """Lets the next commits fail."""
    left = [times]

    def fail(_connection: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OperationalError("COMMIT", {}, Exception("planted"))

    event.listen(store._engine, "commit", fail)
    return fail


def test_nothing_is_answered_before_it_is_kept(store: Store) -> None:
    """Where no commit succeeds no item is said to be taken, and nothing is."""
    ids = workflows(store)
    fail = failing(store, 100)
    answers = apply_all(store, ends(ids))
    event.remove(store._engine, "commit", fail)
    assert statuses(answers) == [503] * 3
    assert states(store, ids) == ["New"] * 3


def test_portion_that_fails_is_done_again_item_by_item(store: Store) -> None:
    """A commit that fails once costs no item its answer."""
    ids = workflows(store)
    fail = failing(store, 1)
    answers = apply_all(store, ends(ids), 60)
    event.remove(store._engine, "commit", fail)
    assert statuses(answers) == [200] * 3
    assert states(store, ids) == ["Completed"] * 3


def test_item_that_breaks_the_server_is_500_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An item that meets a fault of the server's spoils no other, and is logged."""
    ids = workflows(store)
    change = Writing.change_workflow

    def broken(writing: Writing, workflow_id: str, *arguments: Any) -> None:
        if workflow_id == ids[1]:
            raise RuntimeError("planted")
        change(writing, workflow_id, *arguments)

    monkeypatch.setattr(Writing, "change_workflow", broken)
    again = item("PATCH", f"/workflows/{ids[1]}", status="Failed")
    assert statuses(apply_all(store, [*ends(ids), again])) == [200, 500, 200, 424]
    assert states(store, ids) == ["Completed", "New", "Completed"]
    assert "planted" in caplog.text


def test_later_refusal_stops_no_earlier_item(store: Store) -> None:
    """What is refused at the end of a portion that is done again does not reach back."""
    (known,) = workflows(store, 1)
    items = [
        item("PATCH", f"/workflows/{known}", status="In progress"),
        item("PATCH", f"/workflows/{known}", status="Lost"),
        item("PATCH", "/workflows/nobody", status="Failed"),
    ]
    assert statuses(apply_all(store, items)) == [200, 422, 404]
    with pytest.raises(NotFoundError):
        Reading(store._engine).run("nobody")


def test_bulk_waits_its_turn_for_a_bounded_time(sqlite_url: str) -> None:
    """While another thread writes to a SQLite file, a bulk waits as long as it has time."""
    own = Store(open_engine(sqlite_url))
    ids = workflows(own)
    with own.writing():
        thread_answers: list[Answer] = []
        call = threading.Thread(
            target=lambda: thread_answers.extend(apply_all(own, ends(ids), 0.3))
        )
        call.start()
        call.join(60)
    assert statuses(thread_answers) == [503]
    assert statuses(apply_all(own, ends(ids))) == [200] * 3
    own.close()


def test_items_share_their_commits(store: Store) -> None:
    """Five hundred items take ten commits; a refused one costs those of its portion alone."""
    commits: list[Any] = []
    ids = workflows(store, 500)

    def note(connection: Any) -> None:
        commits.append(connection)

    event.listen(store._engine, "commit", note)
    assert statuses(apply_all(store, ends(ids), 60)) == [200] * 500
    assert len(commits) == 10
    unknown = [item("PATCH", "/workflows/nobody", status="Failed"), *ends(ids[1:])]
    commits.clear()
    assert statuses(apply_all(store, unknown, 60)) == [404] + [200] * 499
    assert len(commits) == 9 + 49
    event.remove(store._engine, "commit", note)


@pytest.mark.slow
def test_killed_server_has_what_it_answered(database: str, tmp_path: Path) -> None:
    """After kill -9 in mid-bulk, what was answered is there, and the same bulk completes it."""
    url = f"sqlite:///{tmp_path}/killed.db" if database.startswith("sqlite") else database
    ids = [uuid4().hex for _ in range(500)]
    bulk = {"items": [item("POST", "/workflows", id=one).model_dump() for one in ids]}
    answered = 0
    for attempt in range(3):
        with serving(url) as (process, address):
            killer = threading.Timer(0.004 * attempt, process.kill)
            for start in range(0, 500, 25):
                part = {"items": bulk["items"][start : start + 25]}
                if start == 125 * (attempt + 1):
                    killer.start()
                try:
                    answer = requests.post(f"{address}/bulk", json=part, timeout=60)
                except requests.ConnectionError:
                    break
                assert {one["status"] for one in answer.json()["items"]} == {201}
                answered = max(answered, start + 25)
            killer.join()
    assert answered >= 375
    with serving(url) as (_process, address):
        for one in ids[:answered]:
            assert requests.get(f"{address}/workflows/{one}", timeout=60).status_code == 200
        answer = requests.post(f"{address}/bulk", json=bulk, timeout=60)
        assert [one["status"] for one in answer.json()["items"]] == [201] * 500


@contextmanager
def serving(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs a server in a process of its own, and kills it."""
    tell = "lambda url: print(url, flush=True)"
    code = f"from dotflow.api.server import serve; serve({url!r}, port=0, announce={tell})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://")
        yield process, address
    finally:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
