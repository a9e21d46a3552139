"""What people are told: of a run that ended, or of a task that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.types import WorkflowStatus
from dotflow.utils.error_handler import class_and_message
from dotflow.utils.masking import clean
from dotflow.utils.tools import hostname
from dotflow.utils.trace_link import trace_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.abc.run import RunView
    from dotflow.abc.task import Failure, TaskView

    Say = Callable[[str], str]
    """Gives a name as it may be said."""

LONGEST_NAME, LONGEST_LINE, LONGEST_ERROR = 100, 300, 1000  # characters

MOST_NAMED = 5
"""Failed tasks that the notice of a run names."""


class Message(NamedTuple):
    """What is sent: a title in one line, a text, and whether it is of a failure."""

    title: str
    text: str
    is_failure: bool


class Notice(NamedTuple):
    """What NotifyApprise tells people about a run or a task.

    Attributes:
        workflow: The name of the workflow, or None.
        workflow_id: The id of the workflow.
        task: The name of the failed task; None in a notice about a run.
        task_id: The number of the failed task; None in a notice about a run.
        status: "Completed" or "Failed".
        error: The class and the message of the error, masked and redacted; empty without an error.
        duration: Seconds from beginning to end; None if that is not known.
        trace_id: The id of the trace, or None.
        lines: Further lines of the text.
    """

    workflow: str | None
    workflow_id: str
    task: str | None
    task_id: int | None
    status: str
    error: str
    duration: float | None
    trace_id: str | None
    lines: tuple[str, ...]


def notice_of_task(
    task: TaskView, name: Say, message: Callable[[Failure], str], is_last: bool
) -> Notice:
    """The notice of a task that failed.

    Args:
        task: The task.
        name: Gives names as they may be said.
        message: Gives the message of an error as it may be said.
        is_last: Whether further tasks of the run have no notice of their own.
    """
    error = task.errors[-1] if task.errors else None
    lines = [f"after {task.retry_count + 1} tries"] if task.retry_count else []
    if is_last:
        lines.append("further tasks that fail are told of when the run has ended")
    return Notice(
        _name_of(task, name),
        str(task.workflow_id),
        _line(name(str(task.step.name)), LONGEST_NAME),
        task.task_id,
        task.status,
        "" if error is None else _said(error, message, LONGEST_ERROR),
        task.duration,
        _trace_of(task),
        tuple(lines),
    )


def notice_of_run(run: RunView, name: Say, message: Callable[[Failure], str]) -> Notice:
    """The notice of a run that ended; the arguments are as those of `notice_of_task`."""
    return Notice(
        _name_of(run, name),
        str(run.workflow_id),
        None,
        None,
        run.status,
        "" if run.error is None else _said(run.error, message, LONGEST_ERROR),
        run.duration,
        run.trace_id,
        tuple(_failed(run, name, message)),
    )


def message_of(notice: Notice) -> Message:
    """What is sent of a notice."""
    name = notice.workflow or f"workflow {notice.workflow_id}"
    what = name if notice.task is None else f"{name}: task {notice.task}"
    took = "" if notice.duration is None else f" after {notice.duration:.1f} s"
    where = trace_link(notice.trace_id) or notice.trace_id
    known = {"workflow": notice.workflow_id, "trace": where, "host": hostname()}
    lines = [
        *([notice.error] if notice.error else []),
        f"{what} {notice.status.lower()}{took}",
        *notice.lines,
        *(f"{key}: {value}" for key, value in known.items() if value),
    ]
    is_failure = notice.status != WorkflowStatus.COMPLETED
    return Message(f"{what} {notice.status.lower()}", clean("\n".join(lines)), is_failure)


def _failed(run: RunView, name: Say, message: Callable[[Failure], str]) -> Iterator[str]:
    """A line for each of the first tasks that failed."""
    tasks = run.failed_tasks
    for task in tasks[:MOST_NAMED]:
        said = _said(task.errors[-1], message, LONGEST_LINE) if task.errors else ""
        yield f"task {task.task_id} ({_line(name(str(task.step.name)), LONGEST_NAME)}): {said}"
    if len(tasks) > MOST_NAMED:
        yield f"and {len(tasks) - MOST_NAMED} more"


def _name_of(subject: TaskView | RunView, name: Say) -> str | None:
    given = subject.workflow_name
    return None if given is None else _line(name(str(given)), LONGEST_NAME)


def _trace_of(task: TaskView) -> str | None:
    """The id of the trace of a run under way."""
    config: Any = getattr(task, "config", None)
    listener = None if config is None else config.listener(task.run)
    if listener is None:
        return None
    found: str | None = config.guard.call(listener, "trace_id", task.workflow_id)
    return found


def _said(error: Failure, message: Callable[[Failure], str], longest: int) -> str:
    """Class and message of an error; of a message of several lines in a list the first one."""
    text = class_and_message(error.exception, message(error))
    if longest < LONGEST_ERROR:
        return _line(text.partition("\n")[0], longest)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _line(text: str, longest: int) -> str:
    """A text in one line."""
    text = clean(" ".join(text.split()))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
