"""A run's messages, and the order that they have to arrive in."""

from __future__ import annotations

from support.outbox_contract import task_patch, task_post, workflow_patch, workflow_post


def put_run(relay, workflow="w", tasks=3):
    relay.put(workflow_post(workflow))
    for task in range(1, tasks + 1):
        relay.put(task_post(task, workflow))
    relay.put(workflow_patch(workflow, status="In progress"))
    for task in range(1, tasks + 1):
        for state in ("In progress", "Completed"):
            relay.put(task_patch(task, workflow, status=state))
    relay.put(workflow_patch(workflow, True, status="Completed"))


def in_order(history):
    """Whether a workflow came first and ended last, and each task was posted before patched."""
    assert history[0].startswith("POST workflow")
    assert history[-1] == "PATCH workflow Completed"
    posted = set()
    for line in history:
        method, what = line.split(" ", 1)
        if what.startswith("task"):
            number = what.split()[1]
            assert method == "POST" or number in posted, history
            posted.add(number)
    return True
