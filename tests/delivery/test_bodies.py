"""The body of each call is what dotflow-api expects, and fits."""

from __future__ import annotations

import json

import pytest
from support.facts import TEXTS, Story
from support.fault_server import strict_loads

from dotflow.abc import facts
from dotflow.abc.facts import PlannedTask
from dotflow.delivery.fold.bodies import (
    EXCEEDED,
    MAX_BODY,
    MAX_ERRORS,
    as_post,
    moment,
    without_contexts,
    without_headers,
)
from dotflow.delivery.headers import headers_of
from dotflow.delivery.message import Kind

MIB = 2**20


def test_a_new_workflow_is_a_post_of_id_and_status():
    """A workflow's POST holds what was given, and nothing for what was not."""
    story = Story("default", run=0)
    story.created()
    found = story.last()
    assert (found.message.kind, found.message.workflow, found.message.task) == (
        Kind.WORKFLOW_POST, "w", None,
    )  # fmt: skip
    assert strict_loads(found.message.body) == {"id": "w", "status": "New"}
    named = Story("default", run=0)
    named.created("etl")
    assert named.last().body == {"id": "w", "status": "New", "name": "etl"}


def test_a_run_of_server_otel_begins_with_a_post_of_the_plan():
    """The POST has name, mode, trace id and the plan: id, name and group of each task."""
    story = Story()
    story.began("etl", plan=[PlannedTask(7, "extract", "g")], trace_id="ab" * 16)
    assert story.last().body == {
        "id": "w", "name": "etl", "mode": "sequential", "trace_id": "ab" * 16,
        "tasks": [{"id": 7, "name": "extract", "group_name": "g"}], "status": "In progress",
    }  # fmt: skip


def test_a_run_whose_record_is_known_begins_with_a_patch():
    """Where dotflow-api has the record its first call is a PATCH, without the id."""
    story = Story()
    story.began("etl", known=True)
    found = story.last()
    assert found.message.kind is Kind.WORKFLOW_OPEN
    assert "id" not in found.body
    managed = Story("managed")
    managed.began(managed=True)
    assert managed.last().body == {"status": "In progress"}
    assert managed.last().message.kind is Kind.WORKFLOW_OPEN


def test_the_end_of_a_run_says_status_and_duration():
    """A workflow's last PATCH holds the change only; its id is in the path."""
    story = Story("default")
    story.began()
    story.ended("Failed")
    found = story.last()
    assert found.body == {"status": "Failed", "duration": 3.0}
    assert found.message.final


def test_task_post_has_its_five_fields():
    """A task's POST holds id, name, group, status and the initial context, as JSON values."""
    story = Story()
    story.task_began(initial=[1, {"x": None}])
    assert story.last().body == {
        "id": 7, "name": "extract", "group_name": "g", "status": "In progress",
        "initial_context": [1, {"x": None}],
    }  # fmt: skip
    added = Story("default", run=0)
    added.added()
    assert added.last().body["status"] == "Not started"


def test_task_patch_has_its_seven_fields_and_no_others():
    """A task's PATCH holds exactly the seven fields, contexts as the values themselves."""
    story = Story()
    story.task_began(initial={"a": 1}, previous="before")
    story.retried()
    story.task_ended(current=[1, 2], retries=1)
    found = story.last()
    assert (found.message.kind, found.message.final) == (Kind.TASK_PATCH, True)
    errors = found.body.pop("errors")
    assert [one["message"] for one in errors] == ["no answer"]
    assert found.body == {
        "status": "Completed", "duration": 1.0, "retry_count": 1, "initial_context": {"a": 1},
        "current_context": [1, 2], "previous_context": "before",
    }  # fmt: skip


def test_errors_are_objects_of_four_fields():
    """Each error says its attempt, class, message and traceback, in order."""
    story = Story()
    story.task_began()
    story.retried(error=ValueError("bad 1"))
    story.task_ended(status="Failed", error=ValueError("bad 2"))
    first, last = story.last().body["errors"]
    assert set(first) == {"attempt", "exception", "message", "traceback"}
    assert (first["attempt"], first["exception"], first["message"]) == (1, "ValueError", "bad 1")
    assert (last["attempt"], "ValueError: bad 2" in last["traceback"]) == (None, True)


def test_of_many_errors_the_last_are_kept():
    """A task that was tried a thousand times reports the last errors that fit, in order."""
    story = Story()
    story.task_began()
    for attempt in range(300):
        story.retried(count=attempt, error=ValueError("x" * 20_000))
    body = story.last().message.body
    attempts = [one["attempt"] for one in strict_loads(body)["errors"]]
    assert attempts == list(range(attempts[0], 300))
    assert MAX_ERRORS // 2 < len(body) <= MAX_ERRORS + 1000


def test_facts_may_be_read_in_any_order():
    """The number of a fact orders it, not its place: a handler may write within a handler."""
    told = Story()
    told.task_began()
    told.retried(count=1)
    told.retried(count=2)
    told.task_ended(retries=2)
    other = Story()
    for fact in reversed(told.told):
        other.unit.take(fact, 1)
    assert other.last().body == told.last().body


@pytest.mark.parametrize(
    ("sizes", "replaced"),
    [
        ((1, 1, 1), []),
        ((4, 2, 0), ["initial_context"]),
        ((2, 3, 2), ["current_context"]),
        ((3, 4, 3), ["current_context", "initial_context"]),
        ((4.9, 4.9, 4.9), ["initial_context", "previous_context"]),
    ],
)
def test_largest_contexts_go_one_by_one(sizes, replaced):
    """A body over the limit loses its largest contexts, and no more of them than it must."""
    names = ("initial_context", "current_context", "previous_context")
    texts = {name: "x" * int(size * MIB) for name, size in zip(names, sizes, strict=True)}
    story = Story()
    story.task_began(initial=texts["initial_context"], previous=texts["previous_context"])
    story.task_ended(current=texts["current_context"])
    found = story.last()
    assert len(found.message.body) <= MAX_BODY == 5 * 2**20
    assert sorted(name for name in names if found.body[name] == EXCEEDED) == replaced
    assert all(found.body[name] == texts[name] for name in names if name not in replaced)


def test_a_plan_that_does_not_fit_is_left_out():
    """A workflow is reported without its plan rather than not at all."""
    story = Story()
    story.began("n", plan=[PlannedTask(n, "x" * 1000, "g") for n in range(6000)])
    assert story.last().body == {
        "id": "w", "name": "n", "mode": "sequential", "status": "In progress",
    }  # fmt: skip


def test_without_contexts_is_another_message():
    """What is sent after a 413 has no contexts, and an id of its own."""
    story = Story()
    story.task_began()
    story.task_ended(current="y" * 1000)
    message = story.last().message
    smaller = without_contexts(message)
    found = strict_loads(smaller.body)
    assert smaller.id != message.id == story.last().message.id
    assert (smaller.kind, smaller.workflow, smaller.task) == (Kind.TASK_PATCH, "w", 7)
    assert found["current_context"] == EXCEEDED
    assert set(found) == set(strict_loads(message.body))
    assert found["status"] == "Completed"


def test_without_contexts_a_workflow_has_no_plan():
    """A workflow that is too large for the server is sent without its plan."""
    story = Story()
    story.began("etl", plan=[PlannedTask(1, "x", "g")])
    body = strict_loads(without_contexts(story.last().message).body)
    assert body == {"id": "w", "name": "etl", "mode": "sequential", "status": "In progress"}


def test_as_post_makes_the_record_that_was_not_there():
    """The POST says what the first PATCH said, and the id."""
    story = Story()
    story.began("etl", known=True)
    message = story.last().message
    post = as_post(message)
    assert post.kind is Kind.WORKFLOW_POST
    assert strict_loads(post.body) == {"id": "w", **strict_loads(message.body)}
    assert post.id != message.id


def test_the_same_body_after_the_same_fact_has_the_same_key():
    """Another process that folds the same facts repeats a message under the key it had."""
    one, two, later = Story(), Story(), Story()
    for story in (one, two, later):
        story.task_began()
        story.task_ended(current=1)
    later.retried()
    assert [m.id for m in one.all_messages()] == [m.id for m in two.all_messages()]
    assert one.last().message.id != later.last().message.id
    other_run = Story(run=2)
    other_run.task_began()
    assert other_run.all_messages()[0].id != one.all_messages()[0].id


def test_true_times_travel_beside_the_body():
    """Dotflow-Times says when a task began and ended, by the run's own clock."""
    story = Story()
    story.task_began()
    story.task_ended()
    assert json.loads(story.last().message.times) == {
        "started_at": "1970-01-01T00:00:02.000000+00:00",
        "finished_at": "1970-01-01T00:00:03.000000+00:00",
    }


def test_an_attempt_that_nobody_ended_ended_with_its_task():
    """A process that died in it did not live to say so."""
    story = Story()
    story.task_began()
    story.tell(story.lines.attempt_began(facts.AttemptBegan(story.n(), 7, 1, 2_000_000_000)))
    story.task_ended(status="Failed")
    (attempt,) = json.loads(story.last().message.times)["attempts"]
    assert attempt == ["1970-01-01T00:00:02.000000+00:00", "1970-01-01T00:00:03.000000+00:00"]


def test_a_restored_task_says_no_times():
    """When it ran an earlier run has said: the record keeps that."""
    story = Story()
    nothing = [TEXTS.of(name, None) for name in ("initial", "previous", "current")]
    fact = facts.TaskRestored(story.n(), 7, 2_000_000_000, None)
    story.tell(story.lines.task_restored(fact, "extract", "g", *nothing))
    found = story.all_messages()
    assert [(one.kind, one.times) for one in found] == [(Kind.TASK_POST, ""), (Kind.TASK_PATCH, "")]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (1_764_380_000_123_456_789, "2025-11-29T01:33:20.123456+00:00"),
        (-1, "1969-12-31T23:59:59.999999+00:00"),
        (-62_135_596_800 * 10**9, "0001-01-01T00:00:00.000000+00:00"),
        (10**22, "1970-01-01T00:00:00.000000+00:00"),
    ],
)
def test_a_time_is_said_to_the_microsecond(at, said):
    """As RFC 3339 has it, the years before 1000 too; a time that no calendar has is the epoch."""
    assert moment(at) == said


@pytest.mark.parametrize("at", [0, -1, 10**18, 10**22, -(10**22)])
def test_any_clock_makes_a_time(at):
    """A clock that was never right makes no message impossible."""
    assert "T" in moment(at)


def test_headers_name_the_span_of_the_record():
    """A run's carrier is kept once; each message has the id of its own span in it."""
    story = Story()
    story.began(carrier={"traceparent": "00-" + "a" * 32 + "-{span}-01"}, span="b" * 16)
    first = story.last().message
    assert headers_of(first.headers) == {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    assert without_headers(first).headers == ""
    assert without_headers(first).id != first.id
