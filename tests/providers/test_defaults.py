"""The providers that do nothing."""

from __future__ import annotations

import pytest

from dotflow import Config, DotFlow, Task, action
from dotflow.providers import (
    MetricsDefault,
    NotifyDefault,
    SchedulerDefault,
    ServerDefault,
    TracerDefault,
)
from dotflow.providers.server_none import ServerNone


@action
def step():
    return 1


WORKFLOW = [
    (TracerDefault, "start_workflow", {"workflow_id": "w", "mode": "m", "tasks_count": 1}),
    (TracerDefault, "end_workflow", {"workflow_id": "w", "duration": 1.0, "failed": False}),
    (MetricsDefault, "workflow_started", {"workflow_id": "w", "mode": "m"}),
    (MetricsDefault, "workflow_completed", {"workflow_id": "w", "duration": 1.0}),
    (MetricsDefault, "workflow_failed", {"workflow_id": "w", "duration": 1.0}),
    (SchedulerDefault, "start", {"workflow": print, "resume": True}),
    (SchedulerDefault, "stop", {}),
]
TASK = [
    (NotifyDefault, "hook_status_task"),
    (TracerDefault, "start_task"),
    (TracerDefault, "end_task"),
    (MetricsDefault, "task_completed"),
    (MetricsDefault, "task_failed"),
    (MetricsDefault, "task_retried"),
]
SERVER = [
    ("create_workflow", {"workflow": "w"}),
    ("update_workflow", {"workflow": "w", "status": "Completed"}),
    ("create_task", None),
    ("update_task", None),
]


@pytest.mark.parametrize(
    ("cls", "method", "arguments"),
    [
        *WORKFLOW,
        *((cls, method, None) for cls, method in TASK),
        *((cls, *rest) for cls in (ServerDefault, ServerNone) for rest in SERVER),
    ],
)
def test_does_nothing(capfd, cls, method, arguments):
    """Every hook of a default provider returns None and is silent."""
    task = Task(task_id=1, step=step, workflow_id="w")
    capfd.readouterr()
    arguments = {"task": task} if arguments is None else arguments
    assert getattr(cls(), method)(**arguments) is None
    assert capfd.readouterr() == ("", "")


HEARD = [
    ("notify", NotifyDefault, "hook_status_task"),
    ("metrics", MetricsDefault, "task_completed"),
    ("tracer", TracerDefault, "start_task"),
    ("tracer", TracerDefault, "end_task"),
]


@pytest.mark.parametrize("where", ["subclass", "object", "class", "midway"])
@pytest.mark.parametrize(("slot", "cls", "hook"), HEARD)
def test_who_hears_something_is_called(monkeypatch, where, slot, cls, hook):
    """The engine skips only the default's own hook: not one that stands in its place."""
    heard = []

    def hear(*_, task):
        heard.append(task.status)

    provider = type("Told", (cls,), {hook: hear})() if where == "subclass" else cls()
    if where == "object":
        setattr(provider, hook, hear)
    elif where == "class":
        monkeypatch.setattr(cls, hook, hear)
    config = Config(**{slot: provider})

    @action
    def first():
        if where == "midway":
            setattr(provider, hook, hear)

    workflow = DotFlow(config=config)
    workflow.task.add([first, step])
    workflow.start()
    assert "Completed" in heard or hook == "start_task"
    assert heard
