"""A run that is reported to a server which is never well for long arrives whole, and once."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from support.fault_server import TOKEN, FaultServer, garbage, reset, status, trickle
from support.truth import check_what_came

from dotflow import Config, DotFlow, action
from dotflow.providers import ServerDefault

pytestmark = pytest.mark.slow

TIMEOUT = 0.2

_told = itertools.count(1)


@action
def tell():
    """Give each task a result of its own."""
    return f"the result number {next(_told)}"


def test_runs_through_all_that_a_server_may_do(monkeypatch):
    """What is reported to a server that is never well for long is there in the end, once."""
    monkeypatch.setattr("dotflow.delivery.order.lanes.FIRST_DELAY", 0.01)
    monkeypatch.setattr("dotflow.delivery.relay.worker.FIRST_PAUSE", 0.01)
    faults = [garbage, reset(), trickle, status(503), reset(effect=True), status(500)]
    turns = itertools.cycle([*faults, None, None, None])

    def fault(handler, seen):
        turn = next(turns)
        if turn is None:
            handler.answer(*api.apply(seen), {})
        else:
            turn(handler, seen)

    with contextlib.closing(FaultServer()) as api:
        api.on(".", fault)
        server = ServerDefault(api.url, TOKEN, timeout=TIMEOUT)
        workflow = DotFlow(config=Config(server=server))
        for _ in range(6):
            workflow.task.add(tell)
        workflow.start()
        assert server.flush(60).complete
        assert server.close(60).dead == 0
    assert api.workflows[str(workflow.workflow_id)]["status"] == "Completed"
    told = {task: one["current_context"] for (_, task), one in api.tasks.items()}
    assert told == {task.task_id: task.current_context.storage for task in workflow.task.queue}
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}
    assert check_what_came(api) >= 1 + 6 + 6 + 1
