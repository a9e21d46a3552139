"""Tells people of failures by mail, Slack, Teams, Telegram, Discord, a webhook, ...: by Apprise."""

from __future__ import annotations

import os
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dotflow.abc.notify import Notify
from dotflow.abc.words import words_in
from dotflow.core import rehearsal
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.logging import logger
from dotflow.process import workers
from dotflow.process.variables import warn
from dotflow.providers.environment import NOTIFY_ON, NOTIFY_URLS
from dotflow.providers.notices import Notice, message_of, notice_of_run, notice_of_task
from dotflow.providers.notify_addresses import Address, parted
from dotflow.providers.notify_lane import Lane
from dotflow.runlog.texts import Texts
from dotflow.utils.masking import are_values_whole, masked_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.abc.run import RunView
    from dotflow.abc.task import Failure, TaskView
    from dotflow.runlog.texts import Redact

FAILURE, ALWAYS = "failure", "always"
CHOICES = (FAILURE, ALWAYS)

MOST_TASKS = 10
"""Failed tasks of a run that have a notice each; the run's own notice tells of all."""

MOST_RUNS = 1000
"""Runs under way whose notices are counted."""


class NotifyApprise(Notify):
    """Tells people by mail, chat or webhook that a run failed, and that a task failed for good.

    A notice has the names, the error and the link to the trace (`DOTFLOW_TRACE_URL`). A thread of
    its own sends the notice and tries three times, so a notice never delays or fails the workflow.
    At the end of the program the notices that are on their way have `DOTFLOW_FLUSH_TIMEOUT`
    seconds. In a worker that others may end without its exit handlers, as Celery's, the end of a
    run waits up to 1 second for them, unless the last notice did not arrive. In a rehearsal
    (`dotflow.testing`) nobody is told.

    Args:
        urls: Addresses as Apprise understands them ("mailtos://user:password@example.com",
            "slack://...", "jsons://example.com/hook"): a list, or one text with blanks or commas
            between them. By default `DOTFLOW_NOTIFY_URLS`.
        on: "failure", or "always" to hear of completed runs too. By default `DOTFLOW_NOTIFY_ON`,
            else "failure".
        tasks: Whether each failed task has a notice of its own, sent at once (the first ten of a
            run). Without them, the notice of the run's end names all failed tasks.
        wanted: Called with each `Notice` by the workflow's thread; if it returns False, the notice
            is not sent.
        redact: Called as `redact("error", text)` with the message of an error; notices carry what
            the function returns. By default the `redact` of the run's Server.
        whole_values: Whether notices show credentials that an error names; by default the run's
            Server or `DOTFLOW_WHOLE_VALUES` decides.
        timeout: How many seconds one try at one address may take.

    Raises:
        ValueError: An address of `urls`, or `on`, is wrong. A wrong variable is only warned of.
        ModuleNotFound: Apprise is not installed.
    """

    def __init__(
        self,
        urls: str | Iterable[str] | None = None,
        on: str | None = None,
        *,
        tasks: bool = True,
        wanted: Callable[[Notice], bool] | None = None,
        redact: Redact | None = None,
        whole_values: bool | None = None,
        timeout: float = 10.0,
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, not {timeout!r}")
        self._on = _chosen(on)
        self._tasks = tasks
        self._wanted = wanted
        has_own = redact is not None or whole_values is not None
        self._texts = Texts(redact=redact, whole_values=whole_values) if has_own else None
        self._urls = urls if urls is None or isinstance(urls, str) else list(urls)
        self._timeout = timeout
        self._told: dict[int, int] = {}  # tasks, by the run
        if not _is_child():
            _ = self._lanes  # what is wrong is said here

    @cached_property
    def _lanes(self) -> list[Lane]:
        """One for each address; in a child process, which may tell nobody, made when needed."""
        return [Lane(one, self._timeout) for one in _addresses(self._urls)]

    def __repr__(self) -> str:
        names = ", ".join(lane.address.name for lane in self._lanes) or "nobody"
        return f"<{type(self).__name__} on {self._on} to {names}>"

    def hook_status_task(self, task: TaskView) -> None:
        """Tell of a task that failed for good."""
        if task.status != TypeStatus.FAILED or not self._tasks or not self._lanes:
            return
        if task.run in rehearsal.runs:
            return
        told = self._told[task.run] = self._told.get(task.run, 0) + 1
        while len(self._told) > MOST_RUNS:
            self._told.pop(next(iter(self._told)), None)
        if told <= MOST_TASKS:
            is_last = told == MOST_TASKS
            self._tell(notice_of_task(task, self._name, self._message(task), is_last))

    def hook_end_workflow(self, run: RunView) -> None:
        """Tell of a run that failed, or of each one."""
        self._told.pop(run.number, None)
        if run.is_rehearsed or not self._lanes:
            return
        if self._on == ALWAYS or run.status == WorkflowStatus.FAILED:
            self._tell(notice_of_run(run, self._name, self._message(run)))
        if seconds := workers.wait():  # this process may be ended at any time
            self._flush([lane for lane in self._lanes if not lane.is_away], seconds)

    def flush(self, timeout: float) -> bool:
        """Wait until all is delivered, or dropped, at most `timeout` seconds; return whether."""
        return self._flush(self._lanes, timeout)

    @staticmethod
    def _flush(lanes: list[Lane], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        left = [lane for lane in lanes if not lane.flush(deadline - time.monotonic())]
        return not left

    def _tell(self, notice: Notice) -> None:
        is_wanted = True  # also where what the program says of that raises
        try:
            is_wanted = self._wanted is None or self._wanted(notice)
        finally:
            for lane in self._lanes if is_wanted else ():
                lane.put(message_of(notice))

    def _message(self, subject: Any) -> Callable[[Failure], str]:
        """What gives the message of an error, as it may be said."""
        texts = self._texts
        if texts is None:
            return lambda error: words_in(subject, error)[0]
        return lambda error: texts.words_of(error)[0]

    def _name(self, text: str) -> str:
        """A name, as it may be said."""
        if self._texts is not None:
            return self._texts.name(text)
        return text if are_values_whole() else masked_name(text)


def _is_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _chosen(on: str | None) -> str:
    if on is not None:
        if on not in CHOICES:
            raise ValueError(f"on must be one of {', '.join(map(repr, CHOICES))}, not {on!r}")
        return on
    said = os.environ.get(NOTIFY_ON, "").strip().lower() or FAILURE
    if said not in CHOICES:
        warn(f"{NOTIFY_ON} is {said!r}: it must be {' or '.join(CHOICES)}; {FAILURE} is used.")
        return FAILURE
    return said


def _addresses(urls: str | Iterable[str] | None) -> list[Address]:
    if urls is not None:
        return [Address(url, place) for place, url in enumerate(parted(urls), 1)]
    found = []
    for place, url in enumerate(parted(os.environ.get(NOTIFY_URLS, "")), 1):
        try:
            found.append(Address(url, place))
        except ValueError as error:  # noqa: PERF203 - the others are to be told
            logger.warning("%s: %s. It is left out.", NOTIFY_URLS, error)
    if not found:
        warn(f"NotifyApprise has no address: give it urls, or set {NOTIFY_URLS}.")
    return found
