"""One run of a workflow from the command line: what is shown of it, and what came of it."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console

from dotflow.abc.words import words_of_last
from dotflow.cli.columns import LONGEST_NAME, fit
from dotflow.cli.live import LiveView, Progress
from dotflow.core import interrupt
from dotflow.core.exception import Interrupted
from dotflow.core.types import TypeExecution, TypeStatus
from dotflow.process.at_exit import flush_timeout
from dotflow.providers.log_default import StandardErrorHandler
from dotflow.runlog import history
from dotflow.runlog.writer import run_log
from dotflow.utils.error_handler import class_and_message
from dotflow.utils.masking import masked_by_default
from dotflow.utils.printable import printable
from dotflow.utils.trace_link import trace_link

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from dotflow.core.dotflow import DotFlow
    from dotflow.core.task import Task

LONGEST_ERROR = 200  # characters


def run_workflow(
    workflow: DotFlow,
    mode: str,
    *,
    resume: bool,
    quiet: bool,
    live: bool = False,
    says_where: bool = False,
) -> bool:
    """Run a workflow to its end, say what came of it, and deliver what was reported.

    Args:
        workflow: The workflow.
        mode: How it runs.
        resume: Restore what an earlier run has done.
        quiet: Write errors only.
        live: Show the tasks as they go.
        says_where: Say at the end which run it was, and where to look for it.

    Returns:
        Whether it completed.

    Raises:
        Interrupted: A signal ended it.
    """
    started = time.perf_counter()
    run = _Run()
    try:
        with _view(workflow, live):
            _carry_out(workflow, mode, resume, run)
    except Interrupted as error:
        _say(failure(workflow.task.queue, str(error)))
        if says_where:
            _say_where(workflow, run.trace_id)
        raise
    finally:
        if run.is_completed is False:
            _say(failure(workflow.task.queue))
        elif run.is_completed and not quiet:
            _say(success(workflow.task.queue, time.perf_counter() - started))
    if run.is_completed is None:  # the thread of a background run has shown its error
        _say("failed: the run ended with an error that is no step's")
    if says_where and not (run.is_completed and quiet):
        _say_where(workflow, run.trace_id)
    return run.is_completed is True


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
    name = fit(masked_by_default(str(task.step.name)), LONGEST_NAME)
    line = f"failed: task {task.task_id} ({name}): {_error_of(task)}"
    return f"{line} (and {more} more)" if more else line


def _error_of(task: Task) -> str:
    exception, (message, _) = task.errors[-1].exception, words_of_last(task)
    said = class_and_message(exception, message)
    first = next(iter(said.splitlines()), "")
    return first if len(first) <= LONGEST_ERROR else f"{first[: LONGEST_ERROR - 1]}…"


def _count(number: int) -> str:
    return f"{number} task" if number == 1 else f"{number} tasks"


@dataclass
class _Run:
    """What is known of a run: whether it completed, once it has ended, and its trace."""

    is_completed: bool | None = None
    trace_id: str | None = None

    def end(self, is_completed: bool) -> None:
        self.is_completed = is_completed


def _carry_out(workflow: DotFlow, mode: str, resume: bool, run: _Run) -> None:
    manager = workflow.start(
        mode=mode,
        resume=resume,
        on_success=lambda tasks: run.end(True),  # noqa: ARG005 - called by keyword
        on_failure=lambda tasks: run.end(False),  # noqa: ARG005
    )
    run.trace_id = manager.trace_id
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


def _say_where(workflow: DotFlow, trace_id: str | None) -> None:
    """Say which run it was, and where to look for it."""
    config, wid = workflow.config, workflow.workflow_id
    places = config.guard.call(config.server, "places", wid) or {}
    known = {"workflow": str(wid), "trace": trace_id, "open": trace_link(trace_id), **places}
    if not places:
        known["reported"] = "nowhere (see --server in `dotflow start --help`)"
    if history.wanted() > 0 and run_log.is_durable and run_log.segments:
        known["show"] = f"dotflow trace {shlex.quote(str(wid))}"
    for name, value in known.items():
        if value:
            _console().print(printable(f"{name:<8}  {value}"), soft_wrap=True)


def _say(line: str) -> None:
    style = "bold red" if line.startswith("failed") else "green"
    _console().print(printable(line), style=style, soft_wrap=True)


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False)
