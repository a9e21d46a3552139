"""What became of runs and tasks, on its way into the instruments of a meter provider.

To record one duration costs the SDK more than a task may cost. So the thread of a workflow only
puts a tuple into a queue; it is recorded when somebody collects, in the context of the span that it
is about, so that an exemplar names the trace.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from dotflow.logging import logger
from dotflow.otel.metrics.instruments import Instruments, Run
from dotflow.otel.metrics.outbox import all_of
from dotflow.process.late import renew_when_used
from dotflow.process.pace import Pace
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context

MOST_WAITING = 16_384
"""Ends of tasks that wait to be recorded; beyond it a thread records them, whoever collects."""

MOST_HELD = 131_072
"""Ends that wait at most while more of them come fast: each takes a quarter of a kilobyte."""

LOOK = 0.05
"""Seconds between two looks whether they still come fast."""

LONGEST_WAIT = 5.0
"""Seconds that whoever collects waits for a thread that records."""

Where = SpanContext | tuple[SpanContext, int]
"""A span: its context, or that of its parent and its own id."""


class Source(Protocol):
    """Knows of runs that are under way."""

    def under_way(self, tally: Tally) -> Iterable[Run]:
        """The names of those that a tally counts, each with its tasks that are under way."""

    def counts(self, tally: Tally, workflow: str) -> bool:
        """Whether a tally counts the run under an id."""


class Tally:
    """Counts and measures for one meter provider.

    Args:
        meter: Makes the instruments.

    Attributes:
        tasks: Of each task that ended: the name its workflow was given, or None, its own and its
            group's, its status, its seconds, the type of its error or None, and its span. Any
            thread appends to it; who finds it longer than `most` calls `relieve`.
        runs: Of each run that ended: its name, status, seconds, type of error, and span.
        retries: Of each try that another follows: the same names as of a task, the type of its
            error, and the task's span.
        sources: What knows of runs that are under way; held weakly.
        is_used: Whether this process had a run that is counted here.
    """

    most = MOST_WAITING

    def __init__(self, meter: Any) -> None:
        self.tasks: deque[tuple[str | None, str, str, str, float, str | None, Where]] = deque()
        self.runs: deque[tuple[str | None, str, float, str | None, Where]] = deque()
        self.retries: deque[tuple[str | None, str, str, str | None, Where]] = deque()
        self.sources: weakref.WeakSet[Any] = weakref.WeakSet()
        self._begin()
        self._instruments = Instruments(meter, self)
        renew_when_used(self)

    def _begin(self) -> None:
        self._recording = threading.RLock()  # a signal handler of who records may flush
        self._is_relieved = self.is_used = False

    def renew(self) -> None:
        """Know of nothing in a forked child: all that is the parent's to tell."""
        for queue in (self.tasks, self.runs, self.retries):
            queue.clear()
        self._instruments.forget()
        self._begin()

    def relieve(self) -> None:
        """Have a thread record what waits; called on the workflow's path, now and then."""
        if self._is_relieved:
            return
        self._is_relieved = True
        thread = threading.Thread(target=self._relieve, name="dotflow-metrics-tally", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # none may start when the interpreter ends
            self._relieve()

    def _relieve(self) -> None:
        try:
            self._wait_for_calm()
            self.record()
        except Exception as error:  # noqa: BLE001 - an instrument may be anybody's
            logger.debug("What became of tasks cannot be recorded: %r", error)
        finally:
            self._is_relieved = False

    def _wait_for_calm(self) -> None:
        """Leave the interpreter to the work while tasks end one upon another."""
        pace, is_fast = Pace(), True
        while is_fast and len(self.tasks) < MOST_HELD:
            time.sleep(LOOK)
            pace.reports = len(self.tasks)
            is_fast = pace.is_fast(time.monotonic())

    def record(self) -> None:
        """Record what waits; called by the thread that collects, or flushes."""
        if not self._recording.acquire(timeout=LONGEST_WAIT):
            return
        try:
            self._record_all()
        finally:
            self._recording.release()

    def _record_all(self) -> None:
        into = self._instruments
        while self.tasks:
            workflow, task, group, status, seconds, error, where = self.tasks.popleft()
            into.task_ended(
                workflow, task, group, status, seconds, _type(error), _context_of(where)
            )
        while self.retries:
            workflow, task, group, error, where = self.retries.popleft()
            into.retried(workflow, task, group, _type(error), _context_of(where))
        while self.runs:
            workflow, status, seconds, error, where = self.runs.popleft()
            into.run_ended(workflow, status, seconds, _type(error), _context_of(where))

    def is_told_of(self, workflow: str) -> bool:
        """Whether a run under an id is counted here, by who knows more of it."""
        return any(source.counts(self, workflow) for source in all_of(self.sources))

    def under_way(self) -> list[Run]:
        """The runs that are under way, and their tasks; nothing where this process had none."""
        sources = all_of(self.sources) if self.is_used else []
        return [run for source in sources for run in source.under_way(self)]


def _type(error: str | None) -> str | None:
    return None if error is None else clean(error)


def _context_of(where: Where) -> Context:
    """A context in which that span is current."""
    if isinstance(where, SpanContext):
        found = where
    else:
        parent, span_id = where
        found = SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)
    return set_span_in_context(NonRecordingSpan(found))
