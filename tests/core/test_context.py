"""Context: a value with the ids of its task and workflow."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

import pytest

from dotflow import Context
from dotflow.core.context import ContextInstance

ID = UUID("2d0ad52f-68ba-4c4e-ab07-c7068ca21314")


def test_defaults():
    """An empty Context holds None, task 0, no workflow and the time of its creation."""
    before = datetime.now()
    context = Context()
    assert isinstance(context, ContextInstance)
    assert (context.storage, context.task_id, context.workflow_id) == (None, 0, None)
    assert before <= context.time <= datetime.now()


def test_time_can_be_set():
    """The time is settable."""
    context = Context()
    context.time = datetime(2026, 1, 1)
    assert context.time == datetime(2026, 1, 1)


@pytest.mark.parametrize("task_id", [5, 0, None])
def test_task_ids(task_id):
    """A task id is an int or None."""
    assert Context(task_id=task_id).task_id == task_id


@pytest.mark.parametrize("task_id", ["1", 1.0, [1]])
def test_other_task_ids_are_refused(task_id):
    """Any other type of task id is a TypeError."""
    with pytest.raises(TypeError, match="task_id"):
        Context(task_id=task_id)


@pytest.mark.parametrize("given", [ID, str(ID), ID.hex])
def test_workflow_ids(given):
    """A UUID or its text becomes a UUID."""
    context = Context(workflow_id=given)
    assert context.workflow_id == ID
    assert isinstance(context.workflow_id, UUID)


@pytest.mark.parametrize(("given", "error"), [("orders", ValueError), (5, TypeError)])
def test_other_workflow_ids_are_refused(given, error):
    """Another text is a ValueError that says so, another type a TypeError."""
    with pytest.raises(error, match="UUID"):
        Context(workflow_id=given)


def test_a_context_is_unwrapped():
    """A Context as storage gives its value, time and ids."""
    inner = Context(storage="value", task_id=3, workflow_id=ID)
    inner.time = datetime(2026, 1, 1)
    outer = Context(storage=inner, task_id=9, workflow_id=uuid4())
    assert (outer.storage, outer.task_id, outer.workflow_id) == ("value", 3, ID)
    assert outer.time == datetime(2026, 1, 1)


def test_of_task_takes_any_text_as_workflow_id():
    """The engine's own Contexts may belong to a workflow whose id is no UUID."""
    assert Context.of_task(1, 2, "orders/2026").workflow_id == "orders/2026"
    assert Context.of_task(1, 2, "x" * 36).workflow_id == "x" * 36
    assert Context.of_task(1, 2, str(ID)).workflow_id == ID
    assert Context.of_task(1, None, None).task_id is None


def test_repr_shows_the_value():
    """A Context prints what it holds."""
    assert "storage=5" in repr(Context(5))
