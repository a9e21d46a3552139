"""What the servers that report to dotflow-api without OpenTelemetry have in common."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import (
    AttemptBegan,
    AttemptEnded,
    Fact,
    Retried,
    RunBegan,
    RunEnded,
    RunFailed,
    TaskAdded,
    TaskBegan,
    TaskEnded,
    TaskRestored,
    WorkflowCreated,
)
from dotflow.abc.server import FlushResult
from dotflow.providers.calls import FactServer
from dotflow.providers.opentelemetry_api import current_headers
from dotflow.runlog import history
from dotflow.runlog.lines import CLOCK, NULL, RunLines
from dotflow.runlog.texts import Texts
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from dotflow.abc.task import Failure, TaskView
    from dotflow.abc.words import Words
    from dotflow.delivery.channel import Channel
    from dotflow.runlog.texts import Redact

MOST_RUNS = 10_000
"""Workflows with runs under way; of more the oldest is taken for one whose end never came."""


class ReportingServer(FactServer):
    """Writes each fact into the run log, for dotflow-api; without a channel, for the history alone.

    Args:
        channel: What delivers what the log says.
        policy: Which calls are wanted: "default" or "managed".
        contexts: Whether reports carry contexts.
        redact: What a program wants hidden (see `dotflow.runlog.texts`).
        whole_values: Whether values under keys that look like credentials are reported too.
    """

    def __init__(
        self,
        channel: Channel | None,
        policy: str,
        contexts: bool = True,
        redact: Redact | None = None,
        whole_values: bool | None = None,
    ) -> None:
        super().__init__()
        self._channel = channel
        self._to = {} if channel is None else {channel.key: policy}
        self._texts = Texts(contexts, redact, whole_values)
        self._runs: dict[str, list[tuple[int, RunLines]]] = {}
        self._is_kept = channel is None and history.wanted() > 0

    def __repr__(self) -> str:
        """Its address; the token is not said."""
        if self._channel is None:
            return f"{type(self).__name__}()"
        return f"{type(self).__name__}(base_url={self._channel.destination.url!r})"

    def report(self, fact: Fact, subject: Any) -> None:
        """Write a fact into the run log."""
        if self._channel is not None:
            run_log.append(_LINES[type(fact)](self, fact, subject))
            self._channel.poke()
        elif self._is_kept:
            self._keep(fact, subject)

    def _keep(self, fact: Fact, subject: Any) -> None:
        """Write a fact for the history alone."""
        from dotflow.runlog.keeping import keeper  # here, for most programs keep none

        if keeper.is_wanted():
            if isinstance(fact, (WorkflowCreated, RunBegan)):
                keeper.join()
            run_log.append(_LINES[type(fact)](self, fact, subject))

    def words_of(self, error: Failure) -> Words:
        """The message and the traceback of an error, as they may be said."""
        return self._texts.words_of(error)

    def places(self, workflow: str | UUID) -> Mapping[str, str]:
        """Where the record of a run is."""
        if self._channel is None:
            return {}
        return {"records": self._channel.destination.workflow_url(str(workflow))}

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Deliver what was reported so far; return after at most `timeout` seconds."""
        return FlushResult() if self._channel is None else self._channel.flush(timeout)

    def deliver(self, timeout: float) -> FlushResult:
        """Deliver what was reported so far, unless dotflow-api is away; see `Server.deliver`."""
        return FlushResult() if self._channel is None else self._channel.deliver(timeout)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and end the threads and connections of delivery."""
        return FlushResult() if self._channel is None else self._channel.close(timeout)

    # The line of each fact.

    def _before(self, workflow: str) -> RunLines:
        return RunLines(workflow, 0, self._to)

    def _lines(self, workflow: str, run: int) -> RunLines:
        """The lines of a run that is under way: of several under one id the task says which."""
        runs = self._runs.get(workflow)
        if not runs:
            return RunLines(workflow, run, self._to)
        return next((made for number, made in runs if number == run), runs[-1][1])

    def _carrier(self) -> str:
        if self._channel is None:
            return ""
        carrier = current_headers(self._channel.destination.token)
        return f',"carrier":{carrier}' if carrier else ""

    def _created(self, fact: WorkflowCreated, workflow: str | UUID) -> bytes:
        fact = fact._replace(name=fact.name and self._texts.name(str(fact.name)))
        return self._before(str(workflow)).workflow_created(fact, self._carrier())

    def _added(self, fact: TaskAdded, task: TaskView) -> bytes:
        initial = self._texts.of("initial", task.initial_context)
        lines = self._before(str(task.workflow_id))
        name = self._texts.name
        return lines.task_added(fact, name(task.step.name), name(str(task.group_name)), initial)

    def _began(self, fact: RunBegan, workflow: str | UUID) -> bytes:
        wid = str(workflow)
        lines = RunLines(wid, fact.n, self._to)
        self._runs.setdefault(wid, []).append((fact.n, lines))
        while len(self._runs) > MOST_RUNS:
            del self._runs[next(iter(self._runs))]
        fact = self._texts.of_run(fact)
        return lines.run_began(fact, f',"up":{time.clock_gettime_ns(CLOCK)}{self._carrier()}')

    def _failed(self, fact: RunFailed, workflow: str | UUID) -> bytes:
        return self._lines(str(workflow), fact.run).run_failed(
            fact, self._texts.of_error(fact.error)
        )

    def _ended(self, fact: RunEnded, workflow: str | UUID) -> bytes:
        wid = str(workflow)
        lines = self._lines(wid, fact.run)
        left = [one for one in self._runs.get(wid, ()) if one[1] is not lines]
        if left:
            self._runs[wid] = left
        else:
            self._runs.pop(wid, None)
        return lines.run_ended(fact)

    def _task_began(self, fact: TaskBegan, task: TaskView) -> bytes:
        texts = self._texts
        return self._lines(str(task.workflow_id), task.run).task_began(
            fact, texts.name(task.step.name), texts.name(str(task.group_name)),
            texts.of("initial", task.initial_context),
            texts.of("previous", task.previous_context),
        )  # fmt: skip

    def _attempt_began(self, fact: AttemptBegan, task: TaskView) -> bytes:
        return self._lines(str(task.workflow_id), task.run).attempt_began(fact)

    def _attempt_ended(self, fact: AttemptEnded, task: TaskView) -> bytes:
        return self._lines(str(task.workflow_id), task.run).attempt_ended(fact)

    def _retried(self, fact: Retried, task: TaskView) -> bytes:
        error = self._texts.of_error(fact.error)
        return self._lines(str(task.workflow_id), task.run).retried(fact, error)

    def _task_ended(self, fact: TaskEnded, task: TaskView) -> bytes:
        error = NULL if fact.error is None else self._texts.of_error(fact.error)
        current = self._texts.of("current", task.current_context)
        return self._lines(str(task.workflow_id), task.run).task_ended(fact, current, error)

    def _restored(self, fact: TaskRestored, task: TaskView) -> bytes:
        texts = self._texts
        return self._lines(str(task.workflow_id), task.run).task_restored(
            fact, texts.name(task.step.name), texts.name(str(task.group_name)),
            texts.of("initial", task.initial_context),
            texts.of("previous", task.previous_context), texts.of("current", task.current_context),
        )  # fmt: skip


_LINES: dict[type, Callable[[ReportingServer, Any, Any], bytes]] = {
    WorkflowCreated: ReportingServer._created,
    TaskAdded: ReportingServer._added,
    RunBegan: ReportingServer._began,
    RunFailed: ReportingServer._failed,
    RunEnded: ReportingServer._ended,
    TaskBegan: ReportingServer._task_began,
    AttemptBegan: ReportingServer._attempt_began,
    AttemptEnded: ReportingServer._attempt_ended,
    Retried: ReportingServer._retried,
    TaskEnded: ReportingServer._task_ended,
    TaskRestored: ReportingServer._restored,
}
