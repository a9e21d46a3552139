"""What every Outbox has to do; a test class inherits it and gives the fixture `outbox`."""

from __future__ import annotations

import json
import time

from dotflow.delivery.message import Delivered, Instead, Kind, Message, Refused, TryLater
from dotflow.delivery.queue import FIRST_DELAY


def message(kind, workflow="w", task=None, final=False, **fields):
    return Message(kind, workflow, task, json.dumps(fields).encode(), final)


def workflow_post(workflow="w"):
    return message(Kind.WORKFLOW_POST, workflow, id=workflow)


def workflow_patch(workflow="w", final=False, **fields):
    return message(Kind.WORKFLOW_PATCH, workflow, final=final, **fields)


def task_post(task=1, workflow="w"):
    return message(Kind.TASK_POST, workflow, task, id=task)


def task_patch(task=1, workflow="w", **fields):
    return message(Kind.TASK_PATCH, workflow, task, **fields)


def drain(outbox, limit=1):
    """Deliver all that can be, and return it in its order."""
    delivered = []
    while claimed := outbox.claim(limit):
        for one in claimed:
            outbox.settle(one, Delivered())
            delivered.append(one)
    return delivered


class OutboxContract:
    """Give the class a fixture `outbox` that makes an empty one."""

    def test_what_is_put_is_claimed_once(self, outbox):
        """A message that somebody claimed is nobody else's."""
        one = workflow_post()
        assert outbox.put(one)
        assert outbox.claim(5) == [one]
        assert outbox.claim(5) == []
        assert outbox.counts().pending == 1

    def test_delivered_is_gone_and_counted(self, outbox):
        """What was delivered is not pending any more."""
        outbox.put(workflow_post())
        assert len(drain(outbox)) == 1
        counts = outbox.counts()
        assert (counts.pending, counts.delivered, counts.dead) == (0, 1, 0)

    def test_refused_is_dead_and_lets_the_next_go(self, outbox):
        """A message that is refused for good does not hold up its record."""
        outbox.put(workflow_post())
        patch = workflow_patch(status="In progress")
        outbox.put(patch)
        [post] = outbox.claim()
        outbox.settle(post, Refused(422, "no"))
        assert outbox.claim() == [patch]
        assert outbox.counts().dead == 1

    def test_tasks_wait_for_their_workflow(self, outbox):
        """Nothing of a task goes before its workflow's POST is delivered."""
        outbox.put(workflow_post())
        outbox.put(task_post(1))
        outbox.put(task_post(2))
        [first] = outbox.claim(9)
        assert first.kind is Kind.WORKFLOW_POST
        outbox.settle(first, TryLater("away", everywhere=True))
        [again] = outbox.claim(9)
        outbox.settle(again, Delivered())
        assert {one.task for one in outbox.claim(9)} == {1, 2}

    def test_tasks_wait_for_the_opening_of_a_run_from_outside(self, outbox):
        """The first PATCH of such a run is to the tasks what a POST is, and merges with nothing."""
        opening = message(Kind.WORKFLOW_OPEN, status="In progress")
        last = workflow_patch(final=True, status="Completed")
        for one in (opening, task_post(1), last):
            outbox.put(one)
        assert outbox.claim(9) == [opening]
        outbox.settle(opening, Instead(workflow_post()))
        [post] = outbox.claim(9)
        outbox.settle(post, Delivered())
        assert [one.kind for one in drain(outbox)] == [Kind.TASK_POST, Kind.WORKFLOW_PATCH]

    def test_tasks_of_a_workflow_that_exists_wait_for_nothing(self, outbox):
        """Where no POST of the workflow waits, tasks go at once."""
        outbox.put(task_post(1))
        assert len(outbox.claim(9)) == 1

    def test_a_task_is_posted_before_it_is_patched(self, outbox):
        """The messages of one record go one at a time, in their order."""
        post, patch = task_post(1), task_patch(1, status="In progress")
        outbox.put(post)
        outbox.put(patch)
        assert outbox.claim(9) == [post]
        assert outbox.claim(9) == []
        outbox.settle(post, Delivered())
        assert outbox.claim(9) == [patch]

    def test_tasks_do_not_wait_for_each_other(self, outbox):
        """One task that is under way, or has to wait, holds up no other."""
        outbox.put(task_post(1))
        outbox.put(task_post(2))
        [one] = outbox.claim()
        outbox.settle(one, TryLater("busy"))
        [other] = outbox.claim()
        assert {one.task, other.task} == {1, 2}

    def test_final_waits_for_the_tasks(self, outbox):
        """A workflow's last message goes after all of its tasks'."""
        outbox.put(task_post(1))
        outbox.put(workflow_patch(final=True, status="Completed"))
        [task] = outbox.claim(9)
        assert task.task == 1
        assert outbox.claim(9) == []
        outbox.settle(task, Refused(400, "no"))
        assert outbox.claim(9)[0].final

    def test_a_workflow_posted_again_blocks_nothing(self, outbox):
        """A second POST of a workflow, behind the end of a run, leaves no message stuck."""
        outbox.put(task_patch(1, status="Completed"))
        outbox.put(workflow_patch(final=True, status="Completed"))
        [task] = outbox.claim(9)
        outbox.put(task_patch(2, status="Completed"))
        outbox.put(workflow_post())
        outbox.settle(task, Delivered())
        assert len(drain(outbox)) == 3
        assert outbox.counts().pending == 0

    def test_workflows_do_not_wait_for_each_other(self, outbox):
        """One workflow's POST holds up no other workflow."""
        for workflow in ("a", "b"):
            outbox.put(workflow_post(workflow))
            outbox.put(task_post(1, workflow))
        post = next(one for one in outbox.claim(9) if one.workflow == "a")
        outbox.settle(post, Delivered())
        assert [(one.workflow, one.task) for one in outbox.claim(9)] == [("a", 1)]

    def test_unsent_patches_merge(self, outbox):
        """Of a task's PATCHes that nobody has claimed the last one is sent."""
        for status in ("In progress", "Retry", "Completed"):
            outbox.put(task_patch(1, status=status))
        assert outbox.counts().pending == 1
        [one] = drain(outbox)
        assert json.loads(one.body) == {"status": "Completed"}

    def test_a_claimed_patch_does_not_merge(self, outbox):
        """What is under way stays as it is; what comes meanwhile merges behind it."""
        outbox.put(task_patch(1, status="In progress"))
        [claimed] = outbox.claim()
        outbox.put(task_patch(1, status="Retry"))
        outbox.put(task_patch(1, status="Completed"))
        assert outbox.counts().pending == 2
        outbox.settle(claimed, Delivered())
        assert [json.loads(one.body)["status"] for one in drain(outbox)] == ["Completed"]

    def test_a_patch_that_waits_again_merges(self, outbox):
        """A PATCH that could not be sent takes up what came meanwhile, under another id."""
        outbox.put(task_patch(1, status="In progress"))
        [claimed] = outbox.claim()
        outbox.settle(claimed, TryLater("away", everywhere=True))
        outbox.put(task_patch(1, status="Completed"))
        [merged] = drain(outbox)
        assert json.loads(merged.body)["status"] == "Completed"
        assert merged.id != claimed.id

    def test_a_post_does_not_merge(self, outbox):
        """A PATCH waits behind a POST rather than becoming part of it."""
        outbox.put(task_post(1))
        outbox.put(task_patch(1, status="Completed"))
        assert [one.kind for one in drain(outbox)] == [Kind.TASK_POST, Kind.TASK_PATCH]

    def test_workflow_patches_keep_all_their_fields(self, outbox):
        """Merged PATCHes of a workflow say what each of them said."""
        outbox.put(workflow_patch(status="In progress", name="etl"))
        outbox.put(workflow_patch(final=True, status="Completed", duration=1))
        [one] = drain(outbox)
        assert json.loads(one.body) == {"status": "Completed", "name": "etl", "duration": 1}
        assert one.final

    def test_a_run_started_again_keeps_the_end_of_the_first(self, outbox):
        """The end of a run is not merged away by the start of the next."""
        outbox.put(workflow_patch(final=True, status="Completed"))
        outbox.put(workflow_patch(status="In progress"))
        assert [one.final for one in drain(outbox)] == [True, False]

    def test_try_later_waits_and_keeps_its_place(self, outbox):
        """A message that is tried later is due after a while, before the next of its record."""
        outbox.put(task_post(1))
        outbox.put(task_patch(1, status="Completed"))
        [post] = outbox.claim()
        outbox.settle(post, TryLater("busy"))
        assert outbox.claim(9) == []
        assert 0 < outbox.due_in() <= 1.3 * FIRST_DELAY
        outbox.hurry()
        assert outbox.claim(9) == [post]

    def test_a_wait_that_the_server_asked_for_is_not_hurried(self, outbox):
        """Where the server said how long to wait, a flush does not come sooner."""
        outbox.put(task_post(1))
        [post] = outbox.claim()
        outbox.settle(post, TryLater("429", after=60))
        outbox.hurry()
        assert outbox.claim(9) == []
        assert 50 < outbox.due_in() <= 60

    def test_waits_grow(self, outbox):
        """Each failure of one message doubles its wait, to a limit."""
        outbox.put(task_post(1))
        waits = []
        for _ in range(12):
            [post] = outbox.claim()
            outbox.settle(post, TryLater("busy"))
            waits.append(outbox.due_in())
            outbox.hurry()
        assert waits[1] > 1.2 * waits[0]
        assert waits[3] > 4 * waits[0]
        assert max(waits) < 75

    def test_everywhere_is_at_once_ready_again(self, outbox):
        """A message that only the destination kept back needs no wait of its own."""
        outbox.put(task_post(1))
        [post] = outbox.claim()
        outbox.settle(post, TryLater("away", everywhere=True))
        assert outbox.due_in() == 0
        assert outbox.claim() == [post]

    def test_due_in_is_none_when_nothing_can_become_due(self, outbox):
        """Where only others can let a message go, nobody has to look by the clock."""
        assert outbox.due_in() is None
        outbox.put(workflow_post())
        outbox.put(task_post(1))
        outbox.claim()
        assert outbox.claim(9) == []
        assert outbox.due_in() is None

    def test_replace_sends_the_other_body_next(self, outbox):
        """What takes the place of a claimed message is sent under its own id, in its place."""
        big, small = task_post(1), task_post(1)
        outbox.put(big)
        outbox.put(task_patch(1, status="Completed"))
        outbox.claim()
        outbox.settle(big, Instead(small))
        assert outbox.counts().pending == 2
        assert [one.id for one in outbox.claim(9)] == [small.id]
        outbox.settle(small, Delivered())
        assert outbox.claim()[0].kind is Kind.TASK_PATCH

    def test_the_servers_id_is_known_to_later_messages(self, outbox):
        """The id from the answer to a POST is there for the PATCH of that task, and no other."""
        outbox.put(task_post(1))
        outbox.put(task_post(2))
        for one in outbox.claim(9):
            outbox.settle(one, Delivered(f"srv-{one.task}"))
        assert outbox.server_id(task_patch(1)) == "srv-1"
        assert outbox.server_id(task_patch(2)) == "srv-2"
        assert outbox.server_id(task_patch(1, "other")) is None

    def test_the_servers_id_outlives_the_run(self, outbox):
        """A workflow that is started again finds its tasks at the server."""
        outbox.put(task_post(1))
        [post] = outbox.claim()
        outbox.settle(post, Delivered("srv-1"))
        outbox.put(workflow_patch(final=True, status="Completed"))
        drain(outbox)
        assert outbox.server_id(task_patch(1)) == "srv-1"

    def test_settling_what_is_not_claimed_changes_nothing(self, outbox):
        """A message that was claimed before a fork, or settled already, is no concern here."""
        one = workflow_post()
        outbox.settle(one, Delivered())
        outbox.put(one)
        outbox.settle(one, Delivered())
        assert outbox.counts().pending == 1
        assert outbox.counts().delivered == 0

    def test_closed_takes_nothing(self, outbox):
        """After close() a put says that there is no room."""
        outbox.close()
        assert outbox.put(workflow_post()) is False

    def test_ten_thousand_tasks_take_no_time(self, outbox):
        """What a put or a claim costs does not grow with what waits."""
        started = time.monotonic()
        outbox.put(workflow_post())
        for task in range(3000):
            outbox.put(task_post(task))
            outbox.put(task_patch(task, status="Completed"))
        outbox.put(workflow_patch(final=True, status="Completed"))
        delivered = drain(outbox, limit=4)
        assert len(delivered) == 6002
        assert delivered[-1].final
        assert time.monotonic() - started < 20
