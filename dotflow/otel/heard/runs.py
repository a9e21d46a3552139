"""Which run a span tells of: spans come when they end, tasks before runs, and perhaps twice."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.otel.heard.reading import HeardAttempt, HeardRun, HeardTask, UnusableSpanError, hear
from dotflow.otel.heard.telling import RunTeller
from dotflow.otel.spans.record import COMPLETED, FAILED
from dotflow.process.forking import renew_in_child
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.delivery.channel import Channel
    from dotflow.otel.heard.reading import Heard, SpanKey
    from dotflow.runlog.texts import Texts

MOST_RUNS = 10_000
"""Workflows whose last run is known; of more the oldest is forgotten."""

MOST_SPANS = 20_000
"""Spans that are known to have been told of: another exporter of ours may bring them again."""

MOST_TASKS = 1_000
"""Tasks that are known by their attempts, or by their beginnings, and have not ended."""

MOST_ATTEMPTS = 1_000
"""Attempts of a task: the last ones."""


class Run:
    """The last run of a workflow.

    Args:
        teller: Makes its lines.

    Attributes:
        root: The id of its root; 0 where only its tasks are known.
        ended: When it ended, in nanoseconds since the epoch; None until then.
        release: The line that says it without its name, while it waits for its root.
        live: The keys of its spans that have begun here and not ended, by their ids.
    """

    __slots__ = ("ended", "live", "release", "root", "teller")

    def __init__(self, teller: RunTeller) -> None:
        self.teller = teller
        self.root = 0
        self.ended: int | None = None
        self.release: bytes | None = None
        self.live: dict[int, SpanKey | None] = {}

    def is_of(self, task: HeardTask) -> bool:
        """Whether a task is one of it, rather than of a later run of the workflow."""
        if self.ended is None:
            return True
        return bool(self.root) and (task.parent == self.root or (task.began or 0) <= self.ended)

    def wait_no_longer(self) -> None:
        """Have it be said now, with or without its name."""
        if self.release is not None:
            run_log.append(self.release)
            self.release = None


class HeardRuns:
    """Makes facts of spans, for one dotflow-api; all exporters of a process to it share one.

    Args:
        key: What stands for the dotflow-api in the run log.
        secret: What is in no line: its token.
    """

    def __init__(self, key: str, secret: str) -> None:
        self._key = key
        self._secret = secret
        self._told: OrderedDict[SpanKey, None] = OrderedDict()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Know of no run that is under way, in a forked child: those are its parent's to end."""
        self._lock = threading.RLock()  # a signal handler may end a span
        for run in self._runs.values():
            self._told.update((key, None) for key in run.live.values() if key is not None)
        self._runs = OrderedDict()
        self._attempts: OrderedDict[SpanKey, dict[int, HeardAttempt]] = OrderedDict()

    def take(self, spans: Iterable[ReadableSpan], texts: Texts, wait: float) -> None:
        """Write down what finished spans say.

        Args:
            spans: The spans; those that tell of no run are passed over.
            texts: What may be said of values.
            wait: Seconds that a task waits for the root of its run.
        """
        heard = [one for span in spans if (one := _heard(span)) is not None]
        with self._lock:
            by_workflow: dict[str, list[HeardRun | HeardTask]] = {}
            for one in heard:
                if isinstance(one, HeardAttempt):
                    self._keep(one)
                elif isinstance(one, (HeardRun, HeardTask)) and self._is_new(one):
                    by_workflow.setdefault(one.workflow, []).append(one)
            for its in by_workflow.values():
                self._take(its, texts, wait)

    def begin(self, span: ReadableSpan, texts: Texts, wait: float) -> bool:
        """Write down that a run or a task began, whose span will end in this process.

        Returns:
            Whether it is the span of one.
        """
        heard = _heard(span)
        if not isinstance(heard, (HeardRun, HeardTask)):
            return False
        with self._lock:
            known = self._runs.get(heard.workflow)
            if isinstance(heard, HeardTask):
                self._begin_task(self._run_of(heard, texts, wait), heard)
            elif known is None or known.root != heard.span_id:
                run = self._begun(heard.workflow, texts)
                run.root = heard.span_id
                run.live[heard.span_id] = heard.key
                run_log.append(run.teller.began(heard, is_owing=True))
        return True

    def release(self) -> None:
        """Have no task wait for the root of its run any longer."""
        with self._lock:
            for run in self._runs.values():
                run.wait_no_longer()

    # What came, of one workflow.

    def _take(self, its: Sequence[HeardRun | HeardTask], texts: Texts, wait: float) -> None:
        roots = sorted((one for one in its if isinstance(one, HeardRun)), key=lambda one: one.at)
        known = {root.span_id for root in roots}
        tasks = [one for one in its if isinstance(one, HeardTask)]
        for root in roots:
            run, later = self._run_with(root, texts), []
            for task in tasks:
                if _is_below(task, root, known):
                    self._tell(run, task)
                else:
                    later.append(task)
            self._end(run, root)
            tasks = later
        for task in tasks:
            self._tell(self._run_of(task, texts, wait), task)

    def _run_with(self, root: HeardRun, texts: Texts) -> Run:
        """The run that a root is the root of."""
        run = self._runs.get(root.workflow)
        if run is None or run.ended is not None or run.root not in (0, root.span_id):
            run = self._begun(root.workflow, texts)
            run_log.append(run.teller.began(root, is_owing=False))
        run.root = root.span_id
        return run

    def _run_of(self, task: HeardTask, texts: Texts, wait: float) -> Run:
        """The run of a task whose root did not come along."""
        run = self._runs.get(task.workflow)
        if run is None or not run.is_of(task):
            run = self._begun(task.workflow, texts)
            line = run.teller.heard_of(task, None)
            if wait > 0:
                run.release, line = line, run.teller.heard_of(task, wait)
            run_log.append(line)
        return run

    @staticmethod
    def _begin_task(run: Run, task: HeardTask) -> None:
        if task.span_id in run.live:
            return  # another processor of ours was told before
        run.live[task.span_id] = task.key
        if len(run.live) > MOST_TASKS:
            del run.live[next(iter(run.live))]
        run_log.append(run.teller.task_began(task))

    def _begun(self, workflow: str, texts: Texts) -> Run:
        run = self._runs[workflow] = Run(RunTeller(workflow, self._key, texts, self._secret))
        self._runs.move_to_end(workflow)
        if len(self._runs) > MOST_RUNS:
            self._runs.popitem(last=False)[1].wait_no_longer()
        return run

    def _end(self, run: Run, root: HeardRun) -> None:
        if root.status in (COMPLETED, FAILED):
            run_log.append(run.teller.ended(root))
        elif run.release is not None:
            run_log.append(run.teller.began(root, is_owing=False))
        run.ended, run.release = root.at, None
        run.live.pop(root.span_id, None)

    def _tell(self, run: Run, task: HeardTask) -> None:
        if task.key is not None:
            task.attempts |= self._attempts.pop(task.key, {})
        is_begun = task.span_id in run.live
        run.live.pop(task.span_id, None)
        # One write: a process that is killed has said all of it, or nothing.
        run_log.append(b"".join(run.teller.task(task, is_begun)))

    # What came before.

    def _keep(self, attempt: HeardAttempt) -> None:
        if attempt.place is None:
            return
        task = (attempt.place.trace_id, attempt.parent)
        its = self._attempts.setdefault(task, {})
        its[attempt.number] = attempt
        if len(its) > MOST_ATTEMPTS:
            del its[min(its)]
        if len(self._attempts) > MOST_TASKS:
            self._attempts.popitem(last=False)

    def _is_new(self, heard: Heard) -> bool:
        if heard.key is None:
            return True
        if heard.key in self._told:
            return False
        self._told[heard.key] = None
        if len(self._told) > MOST_SPANS:
            self._told.popitem(last=False)
        return True


def _is_below(task: HeardTask, root: HeardRun, roots: set[int]) -> bool:
    """Whether a task is of the run of a root; one of another trace has another parent."""
    if task.parent in roots:
        return task.parent == root.span_id
    return (task.began or 0) <= root.at


def _heard(span: ReadableSpan) -> Heard | None:
    """What a span says of a run; a span that cannot be understood is passed over."""
    try:
        return hear(span)
    except Exception as error:  # noqa: BLE001 - its attributes may be anybody's
        _complain(str(error) if isinstance(error, UnusableSpanError) else type(error).__name__)
        return None


@lru_cache(maxsize=16)
def _complain(why: str) -> None:
    """One line a reason."""
    logger.warning("A span cannot be used for the record of its run, and is left out: %s", why)


_shared: weakref.WeakValueDictionary[str, HeardRuns] = weakref.WeakValueDictionary()


def heard_runs(channel: Channel) -> HeardRuns:
    """What makes facts of spans for the dotflow-api of a channel; one, whoever asks."""
    made = HeardRuns(channel.key, channel.destination.token)
    return _shared.setdefault(channel.key, made)
