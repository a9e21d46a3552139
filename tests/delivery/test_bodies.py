"""The body of each call is what dotflow-api expects, and fits."""

from __future__ import annotations

import json

import pytest
from support.fault_server import strict_loads

from dotflow import Context, Task, action
from dotflow.core.task import TaskError
from dotflow.delivery.bodies import (
    MAX_BODY,
    MAX_ERROR_TEXT,
    MAX_ERRORS,
    plan,
    task_patch,
    task_post,
    without_contexts,
    workflow_patch,
    workflow_post,
)
from dotflow.delivery.message import Kind, Message

EXCEEDED = {"message": "Context size exceeded"}


@action
def extract():
    return 1


def make(**fields):
    task = Task(task_id=7, step=extract, workflow_id="w", group_name="g", initial_context={"a": 1})
    for name, value in fields.items():
        setattr(task, name, value)
    return task


def test_workflow_post_has_id_status_and_name():
    """A workflow's POST holds what was given, and nothing for what was not."""
    message = workflow_post("w", status="New", name=None)
    assert (message.kind, message.workflow, message.task) == (Kind.WORKFLOW_POST, "w", None)
    assert strict_loads(message.body) == {"id": "w", "status": "New"}
    named = workflow_post("w", status="New", name="etl")
    assert strict_loads(named.body) == {"id": "w", "status": "New", "name": "etl"}


def test_workflow_patch_has_no_id():
    """A workflow's PATCH holds the change only; its id is in the path."""
    message = workflow_patch("w", status="Completed", duration=1.5)
    assert strict_loads(message.body) == {"status": "Completed", "duration": 1.5}
    assert message.final


def test_task_post_has_its_five_fields():
    """A task's POST holds id, name, group, status and the initial context, as JSON values."""
    message = task_post("w", make(initial_context=[1, {"x": None}]))
    assert strict_loads(message.body) == {
        "id": 7,
        "name": "extract",
        "group_name": "g",
        "status": "Not started",
        "initial_context": [1, {"x": None}],
    }


def test_task_patch_has_its_seven_fields_and_no_others():
    """A task's PATCH holds exactly the seven fields, contexts as the values themselves."""
    task = make(
        duration=0.25, retry_count=2, status="Completed", current_context=[1, 2],
        previous_context=Context("before"),
    )  # fmt: skip
    assert strict_loads(task_patch("w", task).body) == {
        "status": "Completed",
        "duration": 0.25,
        "retry_count": 2,
        "errors": [],
        "initial_context": {"a": 1},
        "current_context": [1, 2],
        "previous_context": "before",
    }


def test_errors_are_objects_of_four_fields():
    """Each error says its attempt, class, message and traceback."""
    task = make()
    for attempt in (1, None):
        task.errors = TaskError(ValueError(f"bad {attempt}"), attempt)
    first, last = strict_loads(task_patch("w", task).body)["errors"]
    assert set(first) == {"attempt", "exception", "message", "traceback"}
    assert (first["attempt"], first["exception"], first["message"]) == (1, "ValueError", "bad 1")
    assert (last["attempt"], "ValueError: bad None" in last["traceback"]) == (None, True)


def test_a_long_error_is_cut():
    """The text of an error has an end, and says that it was cut."""
    task = make()
    task.errors = TaskError(ValueError("x" * 1_000_000))
    message = strict_loads(task_patch("w", task).body)["errors"][0]["message"]
    assert len(message) == MAX_ERROR_TEXT + len(" [cut]")


def test_of_many_errors_the_last_are_kept():
    """A task that was tried a thousand times reports the last errors that fit, in order."""
    task = make()
    for attempt in range(300):
        task.errors = TaskError(ValueError("x" * 20_000), attempt)
    body = task_patch("w", task).body
    attempts = [one["attempt"] for one in strict_loads(body)["errors"]]
    assert attempts == list(range(attempts[0], 300))
    assert MAX_ERRORS // 2 < len(body) <= MAX_ERRORS + 1000


MIB = 2**20


@pytest.mark.parametrize(
    ("sizes", "replaced"),
    [
        ((1, 1, 1), []),
        ((4, 2, 0), ["initial_context"]),
        ((2, 3, 2), ["current_context"]),
        ((3, 4, 3), ["current_context", "initial_context"]),
        ((2, 2, 6), ["previous_context"]),
        ((6, 6, 6), ["current_context", "initial_context", "previous_context"]),
    ],
)
def test_largest_contexts_go_one_by_one(sizes, replaced):
    """A body over the limit loses its largest contexts, and no more of them than it must."""
    names = ("initial_context", "current_context", "previous_context")
    texts = {name: "x" * int(size * MIB) for name, size in zip(names, sizes, strict=True)}
    body = task_patch("w", make(**texts)).body
    found = strict_loads(body)
    assert len(body) <= MAX_BODY == 5 * 2**20
    assert sorted(name for name in names if found[name] == EXCEEDED) == replaced
    assert all(found[name] == texts[name] for name in names if name not in replaced)


def test_the_limit_counts_bytes():
    """Letters of several bytes count as what they take."""
    body = task_post("w", make(initial_context="ż" * 3 * MIB)).body
    assert strict_loads(body)["initial_context"] == EXCEEDED


def test_a_plan_that_does_not_fit_is_left_out():
    """A workflow is reported without its plan rather than not at all."""
    tasks = [{"id": n, "name": "x" * 1000, "group_name": "g"} for n in range(6000)]
    body = strict_loads(workflow_post("w", status="In progress", name="n", tasks=tasks).body)
    assert body == {"id": "w", "status": "In progress", "name": "n"}


def test_plan_names_each_task():
    """The plan is a list of id, name and group."""
    assert plan([make()]) == [{"id": 7, "name": "extract", "group_name": "g"}]


def test_without_contexts_is_another_message():
    """What is sent after a 413 has no contexts, and an id of its own."""
    message = task_patch("w", make(current_context="y" * 1000, status="Completed"))
    smaller = without_contexts(message)
    found = strict_loads(smaller.body)
    assert smaller.id != message.id
    assert (smaller.kind, smaller.workflow, smaller.task) == (Kind.TASK_PATCH, "w", 7)
    assert found["current_context"] == EXCEEDED
    assert set(found) == set(strict_loads(message.body))
    assert found["status"] == "Completed"


def test_without_contexts_a_workflow_has_no_plan():
    """A workflow that is too large for the server is sent without its plan."""
    message = workflow_post("w", status="In progress", tasks=plan([make()]))
    assert strict_loads(without_contexts(message).body) == {"id": "w", "status": "In progress"}


def test_merged_workflow_patches_say_what_both_said():
    """The fields of a later PATCH win; those that it does not name stay."""
    first = workflow_patch("w", name="etl", status="In progress")
    merged = workflow_patch("w", status="Completed", duration=1.0).merged_into(first.body)
    assert json.loads(merged.body) == {"name": "etl", "status": "Completed", "duration": 1.0}
    assert merged.final
    assert merged.id != first.id


def test_merged_task_patch_is_the_later_one():
    """A task's PATCH says all there is to say, so the later one stands for both."""
    later = task_patch("w", make(status="Completed"))
    assert later.merged_into(task_patch("w", make(status="In progress")).body) is later


def test_each_message_has_an_id_of_its_own():
    """Two messages with one body have two ids."""
    one, two = (Message(Kind.WORKFLOW_PATCH, "w", None, b"{}") for _ in range(2))
    assert one.id != two.id
