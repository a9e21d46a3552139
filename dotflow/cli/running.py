"""One run of a workflow from the command line: what is shown of it, and what came of it."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console

from dotflow.abc.words import words_of_last
from dotflow.cli.live import LiveView, Progress
from dotflow.core import interrupt
from dotflow.core.exception import Interrupted
from dotflow.core.types import TypeExecution, TypeStatus
from dotflow.process.at_exit import flush_timeout
from dotflow.providers.log_default import StandardErrorHandler
from dotflow.utils.error_handler import class_and_message
from dotflow.utils.masking import masked_by_default

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from dotflow.core.dotflow import DotFlow
    from dotflow.core.task import Task

LONGEST_ERROR = 200  # characters


def run_workflow(
    workflow: DotFlow, mode: str, *, resume: bool, quiet: bool, live: bool = False
) -> bool:
    """Run a workflow to its end, say what came of it, and deliver what was reported.

    Args:
        workflow: The workflow.
        mode: How it runs.
        resume: Restore what an earlier run has done.
        quiet: Write errors only.
        live: Show the tasks as they go.

    Returns:
        Whether it completed.

    Raises:
        Interrupted: A signal ended it.
    """
    started = time.perf_counter()
    outcome: list[bool] = []
    try:
        with _view(workflow, live):
            _run(workflow, mode, resume, outcome)
    except Interrupted as error:
        _say(failure(workflow.task.queue, str(error)))
        raise
    finally:
        if outcome == [True] and not quiet:
            _say(success(workflow.task.queue, time.perf_counter() - started))
        elif outcome == [False]:
            _say(failure(workflow.task.queue))
    if not outcome:  # the thread of a background run ended with an error, and has shown it
        _say("failed: the run ended with an error that is no step's")
    return outcome == [True]


def deliver(workflow: DotFlow) -> None:
    """Send what was reported, within DOTFLOW_FLUSH_TIMEOUT."""
    config = workflow.config
    config.guard.call(config.server, "close", flush_timeout())


def shows_tasks(quiet: bool) -> bool:
    """Whether there is a live view: standard error is a terminal, and nobody wants quiet."""
    console = Console(stderr=True)
    return (
        not quiet and console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
    )


@contextlib.contextmanager
def errors_only(really: bool = True) -> Iterator[None]:
    """Have every LogDefault made within write errors only to the console; a file gets all."""
    before = StandardErrorHandler.lowest
    StandardErrorHandler.lowest = logging.ERROR if really else before
    try:
        yield
    finally:
        StandardErrorHandler.lowest = before


def success(tasks: Sequence[Task], seconds: float) -> str:
    """The line of a run that completed."""
    restored = sum(task.restored for task in tasks)
    before = f" ({restored} of them before)" if restored else ""
    return f"completed: {_count(len(tasks))}{before} in {seconds:.1f} s"


def failure(tasks: Sequence[Task], reason: str = "") -> str:
    """The line of a run that failed: its first failed task, and how many more."""
    failed = [task for task in tasks if task.status == TypeStatus.FAILED]
    if not failed:
        return f"failed: {reason or 'no task did'}"
    task, more = failed[0], len(failed) - 1
    line = f"failed: task {task.task_id} ({masked_by_default(task.step.name)}): {_error_of(task)}"
    return f"{line} (and {more} more)" if more else line


def _error_of(task: Task) -> str:
    exception, (message, _) = task.errors[-1].exception, words_of_last(task)
    said = class_and_message(exception, message)
    first = next(iter(said.splitlines()), "")
    return first if len(first) <= LONGEST_ERROR else f"{first[: LONGEST_ERROR - 1]}…"


def _count(number: int) -> str:
    return f"{number} task" if number == 1 else f"{number} tasks"


def _run(workflow: DotFlow, mode: str, resume: bool, outcome: list[bool]) -> None:
    manager = workflow.start(
        mode=mode,
        resume=resume,
        on_success=lambda tasks: outcome.append(True),  # noqa: ARG005 - called by keyword
        on_failure=lambda tasks: outcome.append(False),  # noqa: ARG005
    )
    if mode != TypeExecution.BACKGROUND:
        return
    try:
        interrupt.join(manager.thread)
    except Interrupted:
        # The run takes notice too, and has its end to report.
        manager.thread.join()
        raise
    interrupt.check()


def _view(workflow: DotFlow, is_live: bool) -> AbstractContextManager[object]:
    if not is_live:
        return contextlib.nullcontext()
    config = workflow.config
    config.notify = progress = Progress(config.notify, config.guard, workflow.task.queue)
    return LiveView(progress)


def _say(line: str) -> None:
    style = "bold red" if line.startswith("failed") else "green"
    Console(stderr=True, highlight=False, markup=False).print(line, style=style, soft_wrap=True)
