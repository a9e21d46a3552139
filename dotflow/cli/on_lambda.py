"""What AWS Lambda calls: one run of `dotflow`, which has ended and is reported when it returns.

The words of the command are in DOTFLOW_COMMAND. Lambda tells nobody that its time is over, so a
run that is not done DOTFLOW_GRACE seconds before is told to end, as by SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
from typing import TYPE_CHECKING, Any

from dotflow.cli.setup import Command
from dotflow.cli.signals import status_of
from dotflow.cloud.aws.secrets import load_secrets
from dotflow.cloud.plan import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND, GRACE = "DOTFLOW_COMMAND", "DOTFLOW_GRACE"
INPUT = "workflow_id"
DEFAULT_GRACE = "30"  # seconds


class RunFailed(Exception):
    """The run failed, or could not be started; the log says why."""


class RunInterrupted(RunFailed):
    """The run was told to end, for Lambda's time was nearly over."""


def handler(event: Any, context: Any) -> dict[str, str]:
    """Run it, and say what came of it.

    Called by Lambda in the main thread, once at a time.

    Args:
        event: A dict may have a `workflow_id`, the id of this run; all else is ignored.
        context: Lambda's, which knows the time that is left.

    Raises:
        RunFailed: It did, so that Lambda counts it as failed.
        Exception: The secrets cannot be read.
    """
    load_secrets()
    asked = event.get(INPUT) if isinstance(event, dict) else None
    with _variable(RUN, asked), _told_to_end(context.get_remaining_time_in_millis() / 1000):
        status = _run(shlex.split(os.environ[COMMAND]))
    if status == status_of(signal.SIGTERM):
        raise RunInterrupted("Lambda's time was nearly over: the run was told to end, and did.")
    if status:
        raise RunFailed(f"The run failed (exit status {status}): the log says why.")
    return {"status": "Completed"}


def _run(words: list[str]) -> int:
    try:
        return Command(words).run()
    except SystemExit as ended:  # words that are no command
        return ended.code if isinstance(ended.code, int) else 1


@contextlib.contextmanager
def _variable(name: str, value: object) -> Iterator[None]:
    """Have a variable for this run, for the process goes on to the next one."""
    before = os.environ.get(name)
    if value:
        os.environ[name] = str(value)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _told_to_end(left: float) -> Iterator[None]:
    """Have this process get SIGTERM while there is time to report the end."""
    grace = float(os.environ.get(GRACE) or DEFAULT_GRACE)
    alarm = threading.Timer(max(0.0, left - grace), os.kill, (os.getpid(), signal.SIGTERM))
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()
        alarm.join()
