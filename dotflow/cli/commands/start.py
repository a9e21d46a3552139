"""Run a step or a workflow, and wait for its end."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

from dotflow.cli import flags
from dotflow.cli.errors import CommandError
from dotflow.cli.running import deliver, errors_only, run_workflow, shows_tasks
from dotflow.cli.signals import interrupting
from dotflow.core import interrupt
from dotflow.core.action import Action
from dotflow.core.config import Config
from dotflow.core.dotflow import DotFlow
from dotflow.core.exception import InvalidWorkflowFactory, WorkflowFlagConflict
from dotflow.core.types import TypeStatus, TypeStorage
from dotflow.logging import logger
from dotflow.runlog import history

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

EPILOG = """\
The command looks for modules in the current folder first. If etl.py is in it:
  dotflow start --step etl.extract --initial-context 2026-11-22
  dotflow start --workflow etl:pipeline --mode parallel
pipeline() takes no arguments and returns a DotFlow that was not started.

If WORKFLOW_ID is set, the run belongs to a workflow that dotflow-api has already. With WORKFLOW_ID,
'--storage file' and --resume, a run goes on where the last run stopped.

This machine keeps the last 16 MB of runs: `dotflow runs` lists them, `dotflow trace last` shows the
newest. DOTFLOW_HISTORY says another size, or 'off'.

Exit status: 0 completed; 1 a task failed, or the command did; 2 wrong flags; 130 Ctrl-C;
143 SIGTERM. After a signal the running tasks are Failed ("interrupted by SIGTERM"), and the command
delivers what was reported (for at most DOTFLOW_FLUSH_TIMEOUT seconds). A second signal, more than a
second later, ends the command at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    flags.add_what_flags(parser)
    flags.add_step_flags(parser)
    flags.add_run_flags(parser)
    parser.add_argument(
        "--resume", action="store_true",
        help="restore the tasks that an earlier run completed, and run the rest; needs "
        "WORKFLOW_ID (or an id in the code) and results in files",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run it; 0 where it completed."""
    return StartCommand(arguments).run()


class StartCommand:
    """`dotflow start`.

    Args:
        arguments: Its flags.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments

    def run(self) -> int:
        """Run what the flags say and return the exit status.

        Raises:
            Interrupted: A signal ended it.
            Exception: It could not be run, see `dotflow.cli.errors`.
        """
        arguments = self._arguments
        check_workflow_flags(arguments)
        flags.choose_server(arguments.server)
        flags.find_modules_here()
        live = shows_tasks(arguments.quiet)
        with interrupting(), errors_only(live or arguments.quiet), history.by_default():
            with interrupt.window():
                path = arguments.workflow
                workflow = made_by(path) if path else step_workflow(arguments)
            if arguments.resume:
                self._say_what_resuming_needs(workflow)
            try:
                is_completed = run_workflow(
                    workflow,
                    arguments.mode,
                    resume=arguments.resume,
                    quiet=arguments.quiet,
                    live=live,
                    says_where=True,
                )
            finally:
                deliver(workflow)
        return 0 if is_completed else 1

    def _say_what_resuming_needs(self, workflow: DotFlow) -> None:
        """Warn who asks for what an earlier run has done where no run can have left anything."""
        needs = []
        is_step = not self._arguments.workflow
        if is_step and not os.environ.get("WORKFLOW_ID"):
            needs.append("the same WORKFLOW_ID in each run")
        if not workflow.config.storage.lasts:
            needs.append(
                "'--storage file'" if is_step else "a storage in files, which the code says"
            )
        if needs:
            logger.warning("'--resume' restores nothing: it needs %s.", " and ".join(needs))


def check_workflow_flags(arguments: argparse.Namespace) -> None:
    """Refuse what does not go with `--workflow`, and say what is ignored.

    Args:
        arguments: The flags.

    Raises:
        WorkflowFlagConflict: A flag goes with a step only.
    """
    if not arguments.workflow:
        return
    for flag, value in (
        ("--callback", arguments.callback),
        ("--initial-context", arguments.initial_context),
    ):
        if value is not None:
            raise WorkflowFlagConflict(flag)
    if arguments.storage != TypeStorage.DEFAULT:
        logger.warning("'--storage' is ignored: with '--workflow' the code chooses the storage.")


def factory_of(path: str) -> Callable[[], object]:
    """What makes the workflow that `--workflow` names.

    Args:
        path: Its import string.

    Raises:
        CommandError: Its module raised when it was imported.
        ImportModuleError: There is no such thing.
        InvalidWorkflowFactory: It is no callable without arguments.
    """
    factory: Callable[[], object] = flags.load(path)
    if isinstance(factory, DotFlow):
        raise InvalidWorkflowFactory(path, "It is a DotFlow: write a function that returns it.")
    if isinstance(factory, Action):
        raise InvalidWorkflowFactory(path, "It is a step: run it with '--step'.")
    if not callable(factory) or not _takes_nothing(factory):
        raise InvalidWorkflowFactory(path)
    return factory


def made_by(path: str) -> DotFlow:
    """The workflow that `--workflow` names, not started.

    Args:
        path: The import string of what returns it.

    Raises:
        CommandError: Its module raised when it was imported.
        ImportModuleError: There is no such thing.
        InvalidWorkflowFactory: It is no callable without arguments that returns a DotFlow.
        Exception: It raised.
    """
    workflow = factory_of(path)()
    if not isinstance(workflow, DotFlow):
        raise InvalidWorkflowFactory(path, f"It returned {type(workflow).__name__}.")
    if any(task.status != TypeStatus.NOT_STARTED for task in workflow.task.queue):
        logger.warning(
            "'%s' starts the workflow that it returns, so each step runs twice now. "
            "Leave start() out there: the command starts the workflow.",
            path,
        )
    return workflow


def step_workflow(arguments: argparse.Namespace, config: Config | None = None) -> DotFlow:
    """The workflow of one step that the flags say.

    Args:
        arguments: The flags.
        config: The Config to use; by default one with the storage of the flags.

    Raises:
        CommandError: A flag, a variable or a module is wrong.
    """
    found = flags.step_and_callback(arguments)
    config = config or Config(storage=flags.storage_of(arguments))
    try:
        workflow = DotFlow(config=config, name=found["step"].name)
    except ValueError as error:
        raise CommandError(f"WORKFLOW_ID cannot be used: {error}.") from error
    workflow.task.add(initial_context=arguments.initial_context, **found)
    return workflow


def _takes_nothing(factory: object) -> bool:
    try:
        inspect.signature(factory).bind()  # type: ignore[arg-type]
    except TypeError:
        return False
    except ValueError:  # a builtin does not say
        return True
    return True
