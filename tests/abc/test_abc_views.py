"""What a provider may see of a task and of a run is there."""

from __future__ import annotations

import pytest

from dotflow import Config, DotFlow, action
from dotflow.abc import run as runs
from dotflow.abc import task as tasks
from dotflow.providers import LogDefault, ServerDefault


@action(retry=2, retry_delay=0)
def fails():
    raise ValueError("no rows")


@pytest.fixture
def manager():
    workflow = DotFlow(config=Config(server=ServerDefault(), log=LogDefault(level="CRITICAL")))
    workflow.task.add(step=fails)
    return workflow.start()


def members(view):
    """The public names that a protocol promises."""
    return {name for name in {**view.__annotations__, **vars(view)} if not name.startswith("_")}


def test_a_run_and_its_task_have_all_that_providers_may_look_at(manager):
    """Whatever the protocols name can be asked of the engine's own objects."""
    [task] = manager.failed_tasks
    for view, one in (
        (runs.RunView, manager),
        (tasks.TaskView, task),
        (tasks.Step, task.step),
        (tasks.ContextView, task.current_context),
        (tasks.Failure, task.errors[-1]),
    ):
        assert len(members(view)) > 0
        assert sorted(name for name in members(view) if not hasattr(one, name)) == []
