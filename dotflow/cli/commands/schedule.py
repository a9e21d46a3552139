"""Run a step or a workflow at the times of a cron expression, until it is told to stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dotflow.cli import flags
from dotflow.cli.commands.start import (
    check_workflow_flags,
    factory_of,
    made_by,
    step_workflow,
)
from dotflow.cli.errors import UsageError
from dotflow.cli.running import deliver, errors_only, run_workflow
from dotflow.cli.signals import interrupting
from dotflow.core import interrupt
from dotflow.core.config import Config
from dotflow.core.exception import Interrupted
from dotflow.core.types import TypeOverlap
from dotflow.process.at_exit import flush_timeout

if TYPE_CHECKING:
    import argparse

    from dotflow.core.dotflow import DotFlow
    from dotflow.providers import SchedulerCron

EPILOG = """\
  dotflow schedule --step etl.extract --cron '*/5 * * * *'
  dotflow schedule --workflow etl:pipeline --cron '0 3 * * *'
The times are those of the local clock. Each run is a workflow of its own, with its own id and
records. If WORKFLOW_ID is set, all runs belong to that workflow.

At SIGTERM or Ctrl-C no further run begins, the command waits for a run that goes on, and the exit
status is 0. A second signal interrupts that run; the exit status is then 143 or 130."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    flags.add_what_flags(parser)
    parser.add_argument(
        "--cron", required=True, metavar="EXPRESSION",
        help="five fields (minute, hour, day of month, month, day of week), or a sixth: seconds",
    )  # fmt: skip
    parser.add_argument(
        "--overlap", default=TypeOverlap.SKIP,
        choices=(TypeOverlap.SKIP, TypeOverlap.QUEUE, TypeOverlap.PARALLEL),
        help="what happens if a run is due while another still runs. 'skip': leave it out; "
        "'queue': let one wait; 'parallel': run up to 10 at once (skip)",
    )  # fmt: skip
    flags.add_step_flags(parser)
    flags.add_run_flags(parser)
    parser.add_argument(
        "--resume", action="store_true",
        help="after a failed run, the next run goes on where that run stopped; needs "
        "'--storage file' if the command itself may be started anew",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run it whenever it is due; 0 where it was told to stop, and did."""
    return ScheduleCommand(arguments).run()


class ScheduleCommand:
    """`dotflow schedule`.

    Args:
        arguments: Its flags.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._config: Config | None = None
        self._unfinished: DotFlow | None = None  # what a resumed run goes on with
        self._is_first = True

    def run(self) -> int:
        """Schedule until a signal, and return the exit status.

        Raises:
            Interrupted: A second signal ended what was under way.
            Exception: It could not be scheduled, see `dotflow.cli.errors`.
        """
        check_workflow_flags(self._arguments)
        scheduler = self._scheduler()
        flags.choose_server(self._arguments.server)
        flags.find_modules_here()
        with interrupting() as answered, errors_only(self._arguments.quiet):
            with interrupt.window():
                # What is wrong with it is said now, not at the first due time.
                self._check()
            if not self._arguments.quiet:
                name = self._arguments.step or self._arguments.workflow
                sys.stderr.write(f"{name} runs next at {scheduler.next_time()}; Ctrl-C ends it.\n")
            try:
                scheduler.start(workflow=self.run_once)
                answered()  # the scheduler ends by a signal, which it took for itself
            except Interrupted:
                # The runs take notice too, and have their ends to report.
                scheduler.stop()
                raise
            finally:
                if self._config is not None:
                    self._config.guard.call(self._config.server, "close", flush_timeout())
        return 0

    def _check(self) -> None:
        if self._arguments.workflow:
            factory_of(self._arguments.workflow)  # not called: what it makes is reported
            return
        flags.step_and_callback(self._arguments)
        self._config = Config(storage=flags.storage_of(self._arguments))

    def run_once(self) -> None:
        """One scheduled run."""
        arguments = self._arguments
        workflow = self._unfinished or self._workflow()
        resume = arguments.resume and (self._is_first or self._unfinished is not None)
        self._is_first = False
        is_completed = False
        try:
            is_completed = run_workflow(
                workflow, arguments.mode, resume=resume, quiet=arguments.quiet
            )
        finally:
            self._unfinished = workflow if arguments.resume and not is_completed else None
            if arguments.workflow:
                deliver(workflow)  # what it made for itself ends with it

    def _workflow(self) -> DotFlow:
        """A workflow of its own; where results are kept in memory only, in a memory of its own."""
        arguments, kept = self._arguments, self._config
        if arguments.workflow:
            return made_by(arguments.workflow)
        assert kept is not None  # noqa: S101 - made before the first run
        config = Config(storage=flags.storage_of(arguments), server=kept.server, log=kept.log)
        return step_workflow(arguments, config)

    def _scheduler(self) -> SchedulerCron:
        from dotflow.providers import SchedulerCron

        is_quiet = self._arguments.quiet

        class Saying(SchedulerCron):
            """Says what is waited for."""

            def waits(self, under_way: int) -> None:
                """Say so."""
                if not is_quiet:
                    sys.stderr.write(
                        f"No further run begins; waiting for the end of {under_way} under way. "
                        "Ctrl-C once more interrupts it.\n"
                    )

        try:
            return Saying(self._arguments.cron, self._arguments.overlap)
        except ValueError as error:
            raise UsageError(f"{error}.") from error
