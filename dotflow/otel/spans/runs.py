"""What is under way: each run of a workflow and each task of it, with its span."""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from dotflow.otel import attributes as names
from dotflow.otel.spans.light import LightSpan
from dotflow.otel.spans.record import FailedTask, StepSaid, TaskSaid, tell_end
from dotflow.otel.spans.values import short
from dotflow.runlog.lines import RunLines, compact
from dotflow.runlog.writer import run_log
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext

    from dotflow.abc.facts import RunBegan
    from dotflow.abc.task import TaskView
    from dotflow.otel.metrics.tally import Run, Tally
    from dotflow.otel.spans.light import Said
    from dotflow.otel.spans.record import WorkerSaid
    from dotflow.otel.spans.reserved import Reserved
    from dotflow.otel.spans.splitting import Part

KNOWN_ROOTS = 1000
"""Workflow ids whose last root is remembered, to be linked to by a second run."""

OPEN_RUNS = 10_000
"""Workflow ids with runs under way; of more the oldest is taken for one whose end never came."""

MOST_NESTED = 100
"""Runs under way under one id, each within a step of the one before."""

KNOWN_STEPS = 1000
"""Steps of a run of which it is known what spans say of them."""

POLICY_OTEL = "otel"
"""What dotflow-api's reader of the run log makes of its lines."""

_RUN = otel_context.create_key("dotflow-run")

_SPAN_KEY = next(iter(trace.set_span_in_context(INVALID_SPAN, otel_context.Context())))


def with_run(run: WorkflowRun, context: Context) -> Context:
    """A context to start a run's span in: processors find the run in it, steps never see it."""
    return otel_context.set_value(_RUN, run, context)


def run_in(context: Context | None) -> WorkflowRun | None:
    """The run that a span is started for; None for a span of anybody else."""
    if context is None:
        return None
    run = otel_context.get_value(_RUN, context)
    return run if isinstance(run, WorkflowRun) else None


def with_span(span: Span, context: Context) -> Context:
    """A context in which a span is current; as `trace.set_span_in_context`, in half the time."""
    return otel_context.Context({**context, _SPAN_KEY: span})


class WorkflowRun:
    """One run of a workflow.

    Args:
        workflow: The id of the workflow.
        began: What is known of the run.
        context: The context that it runs in.
        channel: What reports it to dotflow-api, or None.
        again: Whether a run of the same id went before.
        said: Gives what is said in place of a name.

    Attributes:
        span: Its span.
        lines: Makes its lines of the run log; None where nobody reads them.
        is_replayed: Whether its spans are made from the run log where they could not leave.
        is_kept: Whether its lines are for the history too.
        is_only_kept: Whether nobody else reads them.
        is_cut: Whether its lines say no more of a context than its spans do.
        tasks: The tasks that are under way, by their numbers.
        ended: The numbers of those that have ended.
        reserved: What is reserved for tasks that have not begun, by their numbers.
        first_failed: The first task that failed.
        error: What ended the run where it was no task (JSON).
        part: The part of the run that its next task belongs to.
        has_children: Whether tasks of it ran in other processes.
        given_name: Its name; None where it was given none.
        tally: What counts it; None where nobody wants that.
        last: The last result: its value, its text, and where in the run log that is.
    """

    part: Part

    def __init__(
        self, workflow: str, began: RunBegan, context: Context, channel: Any, again: bool,
        said: Callable[[str], str] = str,
    ) -> None:  # fmt: skip
        self.workflow = workflow
        self.short = short(workflow)
        self.number = began.n
        self.began = began
        self.context = context
        self.channel = channel
        self.is_known = began.managed or again
        self._said = said
        self.is_again = began.resumed or again
        self.span: Span = INVALID_SPAN
        self.lines: RunLines | None = None
        self.is_replayed = self.is_kept = self.is_only_kept = self.is_cut = False
        self.tasks: dict[int, TaskRun] = {}
        self.ended: set[int] = set()
        self.reserved: dict[int, Reserved] = {}
        self.first_failed: FailedTask | None = None
        self.error: str | None = None
        self.has_children = False
        self.last: tuple[Any, str, int, Any] | None = None
        self.given_name = self.name if began.name else None
        self.tally: Tally | None = None
        self._steps: dict[int, tuple[Any, StepSaid, str, str]] = {}
        self._started = time.perf_counter()

    @property
    def name(self) -> str:
        """The name that was given, else a word that all runs without one share."""
        return clean(str(self.began.name or names.SPAN_WORKFLOW))

    @property
    def secret(self) -> str:
        """What is in no line that says where its spans are: the token of its dotflow-api."""
        return "" if self.channel is None else str(self.channel.destination.token)

    @property
    def duration(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._started

    def report_to(self, readers: dict[str, str], is_kept: bool = False) -> None:
        """Have lines be written.

        Args:
            readers: The policies of readers of the run log, by their keys.
            is_kept: Whether the history wants them too.
        """
        to = dict(readers)
        self.is_replayed = bool(to)
        if self.channel is not None:
            to[self.channel.key] = POLICY_OTEL
        self.is_kept = is_kept
        self.is_only_kept = is_kept and not to
        self.is_cut = self.channel is None and not is_kept
        has_lines = is_kept or bool(to)
        self.lines = RunLines(clean(self.workflow), self.number, to) if has_lines else None

    def step(self, step: Any, context_limit: int) -> tuple[Any, StepSaid, str, str]:
        """A step, what spans say of it, the same as a part of a line, and its whole name."""
        known = self._steps.get(id(step))
        if known is None:
            if len(self._steps) >= KNOWN_STEPS:
                self._steps.clear()
            name = self._said(clean(step.name))
            said = StepSaid.of(step, name, context_limit)
            # With the step itself, for an id is a thing's only as long as that is there.
            part = f',"step":{compact(list(said[1:]))}'
            known = self._steps[id(step)] = step, said, part, name
        return known


class TaskRun:
    """One run of a task.

    Args:
        workflow: The run that it is part of.
        part: The part of it that the task is in.
        said: What its span says.

    Attributes:
        span: Its span.
        attempt: The span of the try that is under way, where tries have spans.
        attempt_number: Which try that is.
        reserved: The id that was given away before it began; 0 if none was.
    """

    __slots__ = ("_context", "attempt", "attempt_number", "part", "reserved", "said", "span",
                 "workflow")  # fmt: skip

    def __init__(self, workflow: WorkflowRun, part: Part, said: TaskSaid) -> None:
        self.workflow = workflow
        self.part = part
        self.said = said
        self.span: Span = INVALID_SPAN
        self.attempt: Span | None = None
        self.attempt_number = self.reserved = 0
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        """The context that the step runs in, but for the attempt's span."""
        if self._context is None:
            self._context = with_span(self.span, self.part.context)
        return self._context

    @property
    def innermost(self) -> Context:
        """The context that the step runs in."""
        return self.context if self.attempt is None else with_span(self.attempt, self.context)


class Active(AbstractContextManager[None]):
    """Makes a context current, and what was current before it again."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = otel_context.attach(self._context)

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)


class OpenRuns:
    """The runs that are under way, and the roots of those that were.

    Attributes:
        by_number: Those that are under way, by their numbers.
    """

    def __init__(self) -> None:
        self.by_number: dict[int, WorkflowRun] = {}
        # Several under one id where a step starts a run under it (WORKFLOW_ID): the last is inner.
        self._by_workflow: dict[str, list[WorkflowRun]] = {}
        self._roots: OrderedDict[str, SpanContext] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._by_workflow.values()))

    def add(self, run: WorkflowRun) -> list[WorkflowRun]:
        """Add one that began; return those that are taken for ones whose ends never came."""
        runs = self._by_workflow.setdefault(run.workflow, [])
        runs.append(run)
        self.by_number[run.number] = run
        _remember(self._roots, run.workflow, run.span.get_span_context(), KNOWN_ROOTS)
        lost = []
        if len(runs) > MOST_NESTED:
            lost.append(runs.pop(0))
        while len(self._by_workflow) > OPEN_RUNS:
            lost += self._by_workflow.pop(next(iter(self._by_workflow)))
        for one in lost:
            self.by_number.pop(one.number, None)
        return lost

    def forget(self) -> None:
        """Forget what is under way: it is another process's."""
        self.by_number, self._by_workflow = {}, {}

    def take(self, workflow: str, number: int | None = None) -> WorkflowRun | None:
        """Take out one that ended: the innermost under an id, or the one of a number."""
        runs = self._by_workflow.get(workflow)
        if not runs:
            return None
        run = self.by_number.get(number) if number else None
        if run is None or run not in runs:
            run = runs[-1]
        runs.remove(run)
        if not runs:
            del self._by_workflow[workflow]
        self.by_number.pop(run.number, None)
        return run

    def of_workflow(self, workflow: str) -> WorkflowRun | None:
        """The innermost run under an id."""
        runs = self._by_workflow.get(workflow)
        return runs[-1] if runs else None

    def of_task(self, task: TaskView) -> WorkflowRun | None:
        """The run that a task is in."""
        run = self.by_number.get(task.run)
        return run if run is not None else self.of_workflow(str(task.workflow_id))

    def under_way(self, tally: Tally) -> list[Run]:
        """The runs that a tally counts; any thread may ask."""
        runs = [run for run in list(self.by_number.values()) if run.tally is tally]
        return [
            (
                run.given_name,
                [(one.said.step.name, one.said.group) for one in list(run.tasks.values())],
            )
            for run in runs
        ]

    def counts(self, tally: Tally, workflow: str) -> bool:
        """Whether a tally is told of the run under an id."""
        run = self.of_workflow(workflow)
        return run is not None and run.tally is tally

    def last_root(self, workflow: str) -> SpanContext | None:
        """The root of the last run under an id."""
        return self._roots.get(workflow)


Known = TypeVar("Known")


def _remember(known: OrderedDict[str, Known], key: str, value: Known, most: int) -> None:
    """Keep a value under a key, of the last `most` keys."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)


# What spans and lines have in common.


def extra_of(run: WorkflowRun, state: TaskRun, step: str, is_whole: bool = False) -> str:
    """What the line of a task says beside the fact: where its span is."""
    span = state.span
    if not isinstance(span, LightSpan):
        return f',"span":"{span.get_span_context().span_id:016x}"{state.part.extra}'
    extra = f',"span":"{span.span_id:016x}"{state.part.extra}'
    if state.said.worker is not None:
        extra += worker_extra(state.said.worker)
    if run.is_replayed and not is_whole:  # else only its id is needed
        extra += span.place.extra + step
    return extra


def worker_extra(said: WorkerSaid) -> str:
    """What the line of a task says of the worker that ran it."""
    return f',"worker":{compact(list(said))}'


def whole(span: Span) -> Span:
    """A span whose end no fact tells: a light one is written down as it is."""
    if isinstance(span, LightSpan):
        span.whole()
    return span


def is_changed(span: Span) -> bool:
    """Whether a span is written down whole: then before the fact that would end it."""
    return isinstance(span, LightSpan) and span.body is not None


def end(span: Span, said: Said, at_ns: int | None) -> None:
    """End a span, which says what is known by now."""
    if not isinstance(span, LightSpan):
        tell_end(span, said)
    span.end(at_ns)


def poke(run: WorkflowRun) -> None:
    """Have the relay look at the lines of a run."""
    if run.channel is not None:
        run.channel.poke()


def last_segment() -> Any:
    """The segment of the run log that lines go to now, more or less."""
    segments = run_log.segments
    return segments[-1] if segments else None
