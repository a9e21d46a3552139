"""What schema() and result() show of tasks and workflows."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from core_doubles import echo

from dotflow import Context, DotFlow, Task, action
from dotflow.core.serializers.task import SerializerTask, SerializerTaskError
from dotflow.core.serializers.transport import SerializerTransport
from dotflow.core.serializers.workflow import SerializerWorkflow

SHAPE = {
    "task_id", "workflow_id", "id", "status", "duration", "initial_context", "current_context",
    "previous_context", "group_name", "retry_count", "created_at", "started_at", "finished_at",
    "errors", "error",
}  # fmt: skip
EXCEEDED = {"message": "Context size exceeded"}


def test_a_run_task(quiet):
    """A task that has run shows all its fields as JSON values."""

    @action(retry=2, retry_delay=0)
    class Step:
        tries = 0

        @action
        def first(self, previous_context):
            Step.func.tries += 1
            if Step.func.tries == 1:
                raise ValueError("x")
            return {"prev": previous_context.storage}

        @action
        def second(self):
            return {"z": 1}

    flow = DotFlow(config=quiet)
    flow.task.add(Step, initial_context={"q": 1})
    flow.start()
    task = flow.task.queue[0]
    result = task.result()
    assert set(result) == SHAPE
    assert (result["task_id"], result["id"], result["status"]) == (1, 1, "Completed")
    assert result["workflow_id"] == str(flow.workflow_id)
    assert result["initial_context"] == '{"q": 1}'
    assert result["current_context"] == {"0": '{"prev": null}', "1": '{"z": 1}'}
    assert result["previous_context"] is None
    assert (result["group_name"], result["retry_count"]) == ("default", 1)
    for name in ("created_at", "started_at", "finished_at"):
        assert datetime.fromisoformat(result[name]) == getattr(task, name)
    (error,) = result["errors"]
    assert error["traceback"].startswith("Traceback")
    assert error | {"traceback": ""} == {
        "attempt": 1, "exception": "ValueError", "message": "x", "traceback": "",
    }  # fmt: skip
    assert result["error"] == error
    assert flow.result() == {
        "workflow_id": str(flow.workflow_id), "workflow_name": flow.name,
        "id": str(flow.workflow_id), "name": flow.name, "tasks": [result],
    }  # fmt: skip


def test_a_task_that_has_not_run():
    """A task that has not run shows nulls."""
    result = Task(task_id=1, step=echo).result()
    assert set(result) == SHAPE
    assert (result["error"], result["errors"], result["duration"]) == (None, [], None)
    assert (result["started_at"], result["workflow_id"]) == (None, None)


class Odd:
    def __str__(self):
        return "an odd one"


class Mute:
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ("text", '"text"'),
        (5, "5"),
        ({"a": [1]}, '{"a": [1]}'),
        (Decimal("1.50"), "1.50"),
        ({1}, "{1}"),
        (Odd(), "an odd one"),
        (Mute(), "<Mute>"),
        (float("nan"), "nan"),
        ([], {}),
        ((), {}),
        ([1, "a"], {"raw:0": "1", "raw:1": '"a"'}),
        ((Odd(), [2]), {"raw:0": "an odd one", "raw:1": "[2]"}),
        ([Context(1, 0), Context(2, 4)], {"0": "1", "4": "2"}),
        ([7, Context(1, None)], {"raw:0": "7", "ctx:1": "1"}),
        ([Context([Context("x", 3)], 0)], {"0": {"3": '"x"'}}),
        ([Context(None, 0)], {"0": None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_contexts(value, shown):
    """None is null, a list an object with an entry an item, anything else a text."""
    task = Task(task_id=1, step=echo)
    task.current_context = value
    assert task.result()["current_context"] == shown


def _within_itself():
    value = [1]
    value += [Context(value, 5), Context(value, 6)]
    return value


def _deep():
    value = "bottom"
    for _ in range(2000):
        value = [Context(value)]
    return value


@pytest.mark.parametrize("make", [_within_itself, _deep])
def test_contexts_without_an_end(make):
    """Contexts that contain themselves, or nest without an end, can be shown."""
    task = Task(task_id=1, step=echo)
    task.current_context = make()
    shown = task.result()["current_context"]
    assert isinstance(shown, dict)
    assert len(json.dumps(shown)) < 100_000


def test_texts_that_utf8_cannot_write(quiet):
    """Half a surrogate pair, anywhere, does not keep a task from being shown."""
    flow = DotFlow(config=quiet, workflow_id="w\udc80", name="n\ud800")
    flow.task.add(echo, initial_context="\ud800", group_name="g\ud800")
    task = flow.task.queue[0]
    task.errors = ValueError("bad \ud800 byte")
    task.current_context = Decimal(1)
    task.previous_context = {"\ud800"}
    result = flow.result()
    assert result["tasks"][0]["errors"][0]["message"] == "bad ? byte"
    assert json.loads(result["tasks"][0]["initial_context"]) == "\ud800"
    json.dumps(result, ensure_ascii=False).encode()


def test_keywords_by_the_names_of_tasks_attributes():
    """SerializerTask takes the names of Task's attributes, and the plain ones."""
    wid = uuid4()
    values = {
        "duration": 1.5, "initial_context": Context(1), "current_context": Context([1]),
        "previous_context": Context(None), "errors": [SerializerTaskError(message="x")],
    }  # fmt: skip
    rest = {"task_id": 3, "workflow_id": wid, "group_name": "g", "retry_count": 2, "max": None}
    private = SerializerTask(
        _status="Retry", **rest, **{f"_{name}": value for name, value in values.items()}
    )
    public = SerializerTask(status="Retry", **rest, **values)
    assert private == public
    assert private.initial_context == "1"
    assert private.current_context == {"raw:0": "1"}
    assert private.error.message == "x"
    assert isinstance(private.workflow_id, UUID)


class TestMax:
    """`max`: the most characters that the JSON may have."""

    @staticmethod
    def task():
        task = Task(task_id=1, step=echo, initial_context="i" * 300)
        task.current_context = "c" * 600
        task.errors = ValueError("e" * 400)
        return task

    @staticmethod
    def size(value):
        return len(json.dumps(value))

    def test_steps(self):
        """The largest contexts go first, then the errors, then all contexts; each if need be."""
        task = self.task()
        whole = task.result()
        full = self.size(whole)
        assert task.result(max=full) == whole
        one = task.result(max=full - 1)
        assert one == whole | {"current_context": EXCEEDED}
        two = task.result(max=self.size(one) - 1)
        assert two == whole | {"current_context": EXCEEDED, "initial_context": EXCEEDED}
        three = task.result(max=self.size(two) - 1)
        all_exceeded = {
            "current_context": EXCEEDED,
            "initial_context": EXCEEDED,
            "previous_context": EXCEEDED,
        }
        # A null context grows when it is replaced.
        assert three == whole | all_exceeded | {"errors": [], "error": None}
        four = task.result(max=self.size(three) - 1)
        assert four == whole | dict.fromkeys(all_exceeded) | {"errors": [], "error": None}

    def test_zero_keeps_the_words(self):
        """With max=0 the contexts say that they were cut."""
        assert self.task().result(max=0)["current_context"] == EXCEEDED

    @pytest.mark.parametrize("limit", [0, 1, 100, 400, 500, 700, 900, 1200, 2000, 10_000])
    def test_always_valid_and_within_where_it_can_be(self, limit):
        """The result is valid JSON of at most `max` characters, or as small as it gets."""
        model = self.task().schema(max=limit)
        text = model.model_dump_json()
        smallest = self.size(self.task().result(max=1))
        assert set(json.loads(text)) == SHAPE
        assert len(text) <= max(limit, smallest) or limit == 0

    def test_the_model_is_not_changed(self):
        """Cutting changes the text, not the model."""
        model = self.task().schema(max=1)
        model.model_dump_json()
        assert model.current_context == json.dumps("c" * 600)
        assert len(model.errors) == 1


@pytest.mark.parametrize(
    ("content", "resource"),
    [(SerializerTask(task_id=1), "task"), (SerializerWorkflow(workflow_id="w"), "workflow")],
)
def test_transport(content, resource):
    """A transport names what it holds."""
    transport = SerializerTransport(content=content)
    assert transport.resource == resource
    assert json.loads(transport.model_dump_json())["content"]["id"] == content.id
