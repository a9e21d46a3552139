"""The runs of this machine, folded from the lines of its logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery.dead.adopted import error_of_the_dead
from dotflow.delivery.fold.records import OF_TASKS, TaskRecord
from dotflow.history.logs import local_logs
from dotflow.history.sound import is_sound
from dotflow.runlog import history, lines
from dotflow.runlog.carrying import CARRIED
from dotflow.runlog.lines import OTEL
from dotflow.runlog.reader import SegmentReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dotflow.history.logs import LocalLog
    from dotflow.runlog.reader import Fact

Key = tuple[str, str, int]
"""The id of a run's workflow, that of the log that it began in, and its number in that."""

PORTION = 2**20
"""Bytes of a log that are read at a time."""

CONTEXTS = ("initial", "previous", "current")

PlannedTask = tuple[int, str, str]
"""A task's number, its name and its group."""


@dataclass(slots=True)
class LocalRun:
    """One run, as far as the logs of this machine tell of it.

    Times are nanoseconds since 1970, durations seconds.

    Attributes:
        workflow: The id of the workflow, the same in each run of it.
        log: The id of the log that it began in.
        number: Its number in that log; 0 of a workflow that was made, and never ran.
        name: The name of the workflow, if it has one.
        mode: How its tasks run.
        status: "New", "In progress", "Completed" or "Failed".
        resumed: Whether it goes on with an earlier run.
        trace_id: The id of its trace, 32 hexadecimal digits; empty where it is in none.
        span: The id of its root span, 16 hexadecimal digits; empty where it has none.
        plan: Its tasks as they were planned.
        tasks: What became of those that have begun, and of those that are named by the log.
        attempt_spans: The ids of the spans of attempts, by task and attempt.
        error: What ended it where that was no task: as a task's error.
        owes: Whether its process owes its end: where that dies, the run has failed.
        is_lost: Whether its process did not live to end it.
        last_at: When the last of what is known of it happened.
    """

    workflow: str
    log: str
    number: int
    name: str | None = None
    mode: str | None = None
    status: str = WorkflowStatus.NEW
    resumed: bool = False
    trace_id: str = ""
    span: str = ""
    began_at: int | None = None
    ended_at: int | None = None
    duration: float | None = None
    plan: list[PlannedTask] = field(default_factory=list)
    tasks: dict[int, TaskRecord] = field(default_factory=dict)
    attempt_spans: dict[tuple[int, int], str] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    owes: bool = True
    is_lost: bool = False
    last_at: int = 0
    _is_begin_told: bool = field(default=False, repr=False)
    _results: dict[int, Any] = field(default_factory=dict, repr=False)

    def take(self, fact: Fact) -> None:
        """Fold a line into it."""
        kind, at = fact["f"], fact.get("at")
        if isinstance(at, int):
            self.last_at = max(self.last_at, at)
        if kind in OF_TASKS:
            self._of_task(fact)
        elif kind == lines.CREATED:
            self.name = fact.get("name") or self.name
        elif kind == lines.RUN_BEGAN:
            self._began(fact)
        elif kind == lines.RUN_FAILED:
            self.error = fact.get("error")
        elif kind == lines.RUN_ENDED:
            self._ended(fact)

    def _began(self, fact: Fact) -> None:
        self._begins(fact.get("at"))
        self.resumed = bool(fact.get("resumed"))
        self.owes = fact.get(lines.OWING) is not False
        if self.ended_at is None:
            self.status = WorkflowStatus.IN_PROGRESS
        self._is(fact)

    def _ended(self, fact: Fact) -> None:
        self.status, self.ended_at = fact["status"], fact.get("at")
        self.duration = fact.get("duration")
        self._begins(fact.get("began"))
        self._is(fact)

    def _begins(self, at: int | None, is_told: bool = True) -> None:
        """Learn when it began: as is told, else no later than its first task."""
        if at is None or (self._is_begin_told and not is_told):
            return
        if is_told or self.began_at is None or at < self.began_at:
            self.began_at, self._is_begin_told = at, is_told

    def _is(self, fact: Fact) -> None:
        """Learn what it is: what is told by spans may be known at its end alone."""
        self.name = fact.get("name") or self.name
        if fact.get(lines.OWING) is False or "began" in fact:
            self.name = self.name or fact.get("title")
        self.mode = fact.get("mode") or self.mode
        self.trace_id = str(fact.get("trace_id") or self.trace_id)
        self.span = str(fact.get("span") or self.span)
        plan = fact.get("plan")
        if plan:
            self.plan = [(int(one[0]), str(one[1]), str(one[2])) for one in plan]

    def _of_task(self, fact: Fact) -> None:
        kind, number = fact["f"], fact["t"]
        task = self.tasks.get(number)
        if task is None:
            task = self.tasks[number] = TaskRecord(number)
        if kind in (lines.TASK_ENDED, lines.RESTORED):
            self._results[fact["n"]] = fact.get("current")
        if lines.PREVIOUS_OF in fact:
            fact["previous"] = self._results.get(fact[lines.PREVIOUS_OF])
        if kind == lines.ATTEMPT_BEGAN and "span" in fact:
            self.attempt_spans[number, fact["attempt"]] = str(fact["span"])
        task.take(fact, OTEL, again=False)
        if self.number:  # the beginning of a long run may be in a file that went
            self._begins(task.began_at, is_told=False)
            if self.status == WorkflowStatus.NEW:
                self.status = WorkflowStatus.IN_PROGRESS

    def all_tasks(self) -> list[TaskRecord]:
        """Its tasks by their numbers; those that were planned, and have not begun, too."""
        found = dict(self.tasks)
        for number, name, group in self.plan:
            found.setdefault(number, TaskRecord(number, name, group))
        return [found[number] for number in sorted(found)]

    @property
    def order(self) -> tuple[int, int]:
        """What orders runs by when they began."""
        return self.began_at or self.last_at, self.number

    def end_lost(self, last_seen: int) -> None:
        """End it, and its tasks that go on, as its process would have failed them.

        Args:
            last_seen: When that gave the last sign of life, in nanoseconds since 1970.
        """
        if self.ended_at is not None or self.began_at is None or not self.owes:
            return
        at = max(last_seen, self.last_at)
        for task in self.tasks.values():
            if task.began_at is not None and not task.ended:
                task.status, task.ended, task.is_owed = TypeStatus.FAILED, True, True
                task.ended_at, task.duration = at, (at - task.began_at) / 1e9
                task.errors[task.status_n + 1] = error_of_the_dead(at / 1e9)
        self.status, self.ended_at, self.is_lost = WorkflowStatus.FAILED, at, True
        self.duration = max(0, at - self.began_at) / 1e9


class LocalRuns:
    """Reads the runs of this machine; called by one thread. What was read is not read again.

    Args:
        contexts: Whether contexts are read too.
        spans: Whether what only spans say is read too.

    Attributes:
        spans: What that is, by the ids of the spans.
    """

    def __init__(self, contexts: bool = False, spans: bool = False) -> None:
        self.spans: dict[str, dict[str, Any]] = {}
        self._contexts = contexts
        self._has_spans = spans
        self._runs: dict[Key, LocalRun] = {}
        self._logs: dict[str, _Read] = {}

    def read(self) -> list[LocalRun]:
        """All runs, the newest first; those that go on as they are now."""
        logs = local_logs()  # who lives is seen before its last lines are read
        for gone in self._logs.keys() - logs.keys():
            del self._logs[gone]
        for log in logs.values():
            read = self._logs.setdefault(log.id, _Read())
            for fact in read.news(log):
                if is_sound(fact):  # one that is damaged costs no other
                    self._take(fact, read, log.id)
        found = {key for read in self._logs.values() for key in read.runs}
        self._runs = {key: run for key, run in self._runs.items() if key in found}
        for key, run in self._runs.items():
            of_run = [log for log in logs.values() if key in self._logs[log.id].runs]
            if not any(log.is_alive for log in of_run):
                run.end_lost(max(log.last_seen for log in of_run))
        return sorted(self._runs.values(), key=lambda run: run.order, reverse=True)

    def _take(self, fact: Fact, read: _Read, log: str) -> None:
        kind = fact["f"]
        if kind == lines.SPAN and self._has_spans:
            said = fact["said"]
            self.spans[str(said["context"][1])] = said
        if kind not in _OF_RUNS:
            return
        if not self._contexts:
            for role in CONTEXTS:
                fact.pop(role, None)
        if kind == lines.RUN_BEGAN:
            self._begin(fact, read, log)
        number = fact["r"]
        key = fact["w"], read.began_in.get(number, log), number
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = LocalRun(*key)
        read.runs.add(key)
        run.take(fact)

    def _begin(self, fact: Fact, read: _Read, log: str) -> None:
        """Have a workflow that was made be the run that begins."""
        if CARRIED in fact:
            read.began_in[fact["r"]] = str(fact[CARRIED])
        made = fact["w"], log, 0
        read.runs.discard(made)
        before = self._runs.pop(made, None)
        if before is not None:
            key = fact["w"], log, fact["r"]
            planned = {one[0] for one in fact.get("plan") or ()}
            run = self._runs.setdefault(key, LocalRun(*key))
            run.tasks = {
                number: task for number, task in before.tasks.items() if number in planned
            } | run.tasks


_OF_RUNS = OF_TASKS | {lines.CREATED, lines.RUN_BEGAN, lines.RUN_FAILED, lines.RUN_ENDED}


class _Read:
    """What was read of one log.

    Attributes:
        runs: The runs that it tells of.
        began_in: In which log those of its runs began that go on in it.
    """

    def __init__(self) -> None:
        self.runs: set[Key] = set()
        self.began_in: dict[int, str] = {}
        self._readers: dict[Path, SegmentReader] = {}

    def news(self, log: LocalLog) -> Iterator[Fact]:
        """The lines that were not read; those of a file that was kept meanwhile once more."""
        paths = log.paths
        self._readers = {path: self._readers.get(path) or SegmentReader(path) for path in paths}
        for path, reader in self._readers.items():
            is_masked = history.is_masked(path)
            while facts := reader.read(PORTION):
                yield from facts if is_masked else map(history.masked, facts)
