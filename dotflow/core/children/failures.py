"""What to say of a child process that could not be started, or ended without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.core.children.start_method import remedy_of_a_start
from dotflow.core.exception import signal_name
from dotflow.core.step_error import drop_frames
from dotflow.core.task_error import ERROR_TYPE, TaskError

if TYPE_CHECKING:
    from dotflow.core.task import Task


def failure_of_start(task: Task, error: Exception, is_forked: bool) -> TaskError:
    """What failed a task whose process could not be started.

    Args:
        task: The task.
        error: What came of the attempt to start it.
        is_forked: Whether it was to be a fork.
    """
    if is_forked or not isinstance(error, (EOFError, ConnectionError)):
        failure = TaskError(error)
        failure.hold(error)
        drop_frames(error)
        return failure
    words = f"the process of step {task.step.name!r} could not be started ({error!r})"
    failure = TaskError(RuntimeError(f"{words}: {remedy_of_a_start()}"))
    failure.traceback = TaskError(error).traceback
    return failure


def failure_of_death(task: Task, code: int | None, has_a_remedy: bool) -> TaskError:
    """What failed a task whose process ended without a word.

    Args:
        task: The task.
        code: The exit code; None if the process lives, and has closed its connection.
        has_a_remedy: Whether it did not come so far as to ask for the task, and was no fork.
    """
    if code is None:
        how = "closed its connection"
    elif code < 0:
        how = f"was killed by {signal_name(-code)}"
    else:
        how = f"ended with exit code {code}"
    before = "before it reported a result"
    if has_a_remedy:
        before = f"before it asked for its task: {remedy_of_a_start()}"
    error = RuntimeError(f"the process of task {task.task_id} ({task.step.name!r}) {how} {before}")
    if code is not None and code < 0:
        setattr(error, ERROR_TYPE, "process_killed")
    return TaskError(error)
