import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select

from dotflow.api.database import open_engine
from dotflow.api.envelope import Envelope
from dotflow.api.errors import ConflictError, KeyReusedError, NotFoundError
from dotflow.api.reading import Reading
from dotflow.api.store import Store
from dotflow.api.tables import idempotency_keys

TASK = {"task_id": 1, "name": "step", "group_name": "default", "status": "Not started"}


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = Store(open_engine(database))
    yield opened
    opened.close()


def add_workflow(store: Store, workflow_id: str, key: str | None = None) -> str:
    with store.writing() as writing:
        writing.add_workflow({"id": workflow_id, "status": "New"}, Envelope(key))
    return workflow_id


def change_workflow(store: Store, workflow_id: str, key: str | None = None) -> None:
    with store.writing() as writing:
        writing.change_workflow(workflow_id, {"status": "Failed"}, Envelope(key))


def add_task(store: Store, workflow_id: str, values: Any, key: str | None = None) -> Any:
    with store.writing() as writing:
        return writing.add_task(workflow_id, values, Envelope(key))


@pytest.fixture
def workflow_id(store: Store) -> str:
    return add_workflow(store, uuid4().hex)


def tasks_of(store: Store, workflow_id: str) -> list[Any]:
    return list(Reading(store._engine).tasks(workflow_id).items)


def keys(store: Store, key: str) -> int:
    counted = select(func.count()).where(idempotency_keys.c.key == key)
    with store._engine.connect() as connection:
        return connection.execute(counted).scalar_one()


def test_json_columns_take_text_and_give_values(store: Store, workflow_id: str) -> None:
    """JSON goes in as text and comes out as the value that it says."""
    value = {"a": [1, "\0", "🚲", None]}
    added = add_task(store, workflow_id, {**TASK, "initial_context": json.dumps(value)})
    record = Reading(store._engine).task(workflow_id, 1)
    assert record.server_id == added["id"]
    assert json.loads((record.contexts or {})["initial_context"]) == value


def test_moments_come_back_in_utc(store: Store, workflow_id: str) -> None:
    """Both databases give moments with the zone UTC."""
    record = Reading(store._engine).run(workflow_id)
    assert record.created_at.utcoffset() == timedelta(0)
    assert record.created_at == record.updated_at


def test_key_and_effect_are_one(store: Store, workflow_id: str) -> None:
    """A change that fails leaves no key behind, one that succeeds leaves one."""
    key = uuid4().hex
    with pytest.raises(NotFoundError, match="'nobody'"):
        change_workflow(store, "nobody", key)
    with pytest.raises(ConflictError):
        add_workflow(store, workflow_id, key)
    assert keys(store, key) == 0
    change_workflow(store, workflow_id, key)
    assert keys(store, key) == 1


def test_key_of_another_change_is_refused(store: Store, workflow_id: str) -> None:
    """A key that was applied to a workflow is not taken for its task."""
    key = uuid4().hex
    change_workflow(store, workflow_id, key)
    with pytest.raises(KeyReusedError):
        add_task(store, workflow_id, TASK, key)
    assert tasks_of(store, workflow_id) == []


def test_conflict_names_what_holds_the_id(store: Store, workflow_id: str) -> None:
    """A conflict carries the ids of the record that was there first."""
    first = add_task(store, workflow_id, TASK)
    with pytest.raises(ConflictError) as caught:
        add_task(store, workflow_id, TASK)
    assert caught.value.existing == first


def test_unknown_tasks_are_said_to_be(store: Store, workflow_id: str) -> None:
    """A task is looked for in its own workflow."""
    add_task(store, add_workflow(store, uuid4().hex), TASK)
    with pytest.raises(NotFoundError, match="task 1 "), store.writing() as writing:
        writing.server_id(workflow_id, 1)
    with pytest.raises(NotFoundError, match="workflow 'nobody'"):
        tasks_of(store, "nobody")


def test_one_message_sent_twice_at_once_is_applied_once(store: Store, workflow_id: str) -> None:
    """Two deliveries of one POST at the same moment both get the first one's answer."""
    with ThreadPoolExecutor(8) as pool:
        for task_id in range(10):
            key = uuid4().hex
            values = {**TASK, "task_id": task_id}
            calls = [pool.submit(add_task, store, workflow_id, values, key) for _ in range(8)]
            answers: list[Any] = [call.result() for call in calls]
            assert all(answer == answers[0] for answer in answers)
    assert len(tasks_of(store, workflow_id)) == 10


def test_what_a_transaction_knows_is_not_asked_again(store: Store, workflow_id: str) -> None:
    """Each report of a bulk is its key and its change: its workflow and its id are known."""
    asked: list[str] = []

    def note(*call: Any) -> None:
        asked.append(call[2].split()[0])

    event.listen(store._engine, "before_cursor_execute", note)
    with store.writing() as writing:
        asked.clear()
        for task_id in (1, 2):
            added = writing.add_task(
                workflow_id, {**TASK, "task_id": task_id}, Envelope(uuid4().hex)
            )
            known = writing.server_id(workflow_id, task_id)
            assert known == added["id"]
            writing.change_task(known, {"status": "Completed"}, Envelope(uuid4().hex))
        changes = ["INSERT", "INSERT", "INSERT", "UPDATE"]
        assert asked == ["SELECT", *changes, *changes]
    assert [one.task_id for one in tasks_of(store, workflow_id)] == [1, 2]
