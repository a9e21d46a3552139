"""What to say of a task that its executor did not run to its end."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from dotflow.core.children.start_method import GUARD
from dotflow.core.exception import Interrupted
from dotflow.core.step_error import drop_frames
from dotflow.core.task_error import ERROR_TYPE, TaskError
from dotflow.utils.error_handler import class_and_message

if TYPE_CHECKING:
    from dotflow.core.task import Task

WORKER_LOST = "worker_lost"
"""The `error.type` of a task whose worker is gone."""

MAY_RUN = "its step may still run on a worker"


def check_future(future: Any) -> None:
    """See that an executor gave what can be waited for.

    Raises:
        TypeError: It gave something else.
    """
    if not isinstance(future, Future):
        raise TypeError(
            f"its submit() returned {type(future).__name__}, and no concurrent.futures.Future: "
            "give dotflow an executor that is not asynchronous"
        )


def of_refusal(task: Task, error: Exception) -> TaskError:
    """What failed a task that the executor did not take."""
    return _made(
        f"{_of(task)} was not run, for the executor takes no work ({_said(error)}): shut it "
        "down after the run, and give a new one if it is broken",
        error,
    )


def of_loss(task: Task, error: BaseException, never_began: bool) -> TaskError:
    """What failed a task whose worker is gone.

    Args:
        task: The task.
        error: What the executor says of it.
        never_began: Whether it surely had not begun.
    """
    if never_began:
        return _made(
            f"{_of(task)} was not begun, for its executor broke ({_said(error)}): if its processes "
            f"do not come up at all, put what starts the workflow under `{GUARD}`",
            error,
            WORKER_LOST,
        )
    return _made(
        f"worker lost: the worker of {_of(task)} ended before it reported a result "
        f"({_said(error)})",
        error,
        WORKER_LOST,
    )


def of_cancel(task: Task, error: BaseException) -> TaskError:
    """What failed a task that somebody else has taken back."""
    return _made(f"{_of(task)} was cancelled in its executor before it began", error)


def of_engine(task: Task, error: BaseException) -> TaskError:
    """What failed a task that its worker could not run."""
    return _made(
        f"{_of(task)} could not be run by its worker ({_said(error)}): see that it has the "
        "same versions of Python and dotflow as this process",
        error,
    )


def of_abort(error: BaseException, is_killed: bool) -> TaskError:
    """What failed a task that is waited for no more.

    Args:
        error: What ended the run.
        is_killed: Whether its worker was ended too.
    """
    if isinstance(error, Interrupted):  # where the parent was says nothing of the step
        error = Interrupted(error.number)
    failure = TaskError(error)
    if not is_killed:
        said = failure.message
        failure.message = f"{said}; {MAY_RUN}"
        failure.traceback = failure.traceback.replace(said, failure.message)
    return failure


def _made(words: str, error: BaseException, error_type: str = "") -> TaskError:
    drop_frames(error)
    made = RuntimeError(words)
    made.__cause__ = error
    if error_type:
        setattr(made, ERROR_TYPE, error_type)
    return TaskError(made)


def _of(task: Task) -> str:
    return f"task {task.task_id} ({task.step.name!r})"


def _said(error: BaseException) -> str:
    said = TaskError(error)
    return class_and_message(said.exception, said.message).strip().split("\n", 1)[0]
