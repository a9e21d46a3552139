"""What is under way of a run: its parts and its tasks, each with its span."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span

from dotflow.otel import attributes as names
from dotflow.otel.spans.light import LightSpan, TaskSaid
from dotflow.otel.spans.record import FAILED, FailedTask, StepSaid, tell_end
from dotflow.otel.spans.values import short
from dotflow.runlog.lines import OTEL, RunLines, compact
from dotflow.runlog.writer import run_log
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from dotflow.abc.facts import Carrier, RunBegan
    from dotflow.otel.metrics.tally import Tally
    from dotflow.otel.spans.place import Place
    from dotflow.otel.spans.readable import Said
    from dotflow.otel.spans.record import WorkerSaid

KNOWN_STEPS = 1000
"""Steps of a run of which it is known what spans say of them."""

TEXT_OF_A_TASK = 512
"""Characters. A task with more counts as several: what backends refuse is a number of bytes."""

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
            to[self.channel.key] = OTEL
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


class Part:
    """The tasks of a run that are in one trace.

    Args:
        number: 1 for the trace of the run's root.
        span: What the tasks are children of: the run's root, or a root of the part's own.
        context: The context that the tasks begin in.
        known: What the root of its own says.

    Attributes:
        place: Where the light spans of its tasks are; None where they are none.
        extra: What the lines of its tasks say of it.
        weight: The tasks that have begun; one with much text counts as several.
        running: The tasks that have not ended.
        ended_ns: When the last of them ended, in nanoseconds since the epoch.
        first_failed: The first task in it that failed.
    """

    def __init__(
        self, number: int, span: Span, context: Context, known: Mapping[str, Any] | None = None
    ) -> None:
        self.known = known or {}
        self.number = number
        self.span = span
        self.context = context
        self.place: Place | None = None
        self.extra = ""
        self.weight = 0
        self.running = 0
        self.ended_ns: int | None = None
        self.first_failed: FailedTask | None = None

    def begin(self) -> None:
        """Count a task that begins in it."""
        self.weight += 1
        self.running += 1

    def end(self, said: TaskSaid, at_ns: int | None) -> bool:
        """Count the end of a task; whether no other one is under way."""
        self.running -= 1
        self.weight += said.length() // TEXT_OF_A_TASK
        if at_ns is not None:
            self.ended_ns = max(self.ended_ns or 0, at_ns)
        if self.first_failed is None and said.error is not None and said.status == FAILED:
            self.first_failed = FailedTask(said.task_id, said.step.name, said.error)
        return self.running == 0


class Reserved(NamedTuple):
    """What is reserved for a task that has not begun.

    Attributes:
        part: The part of the run that it is in.
        span_id: The id of its span; 0 if the provider of the application chooses that itself.
        carrier: What leads there.
    """

    part: Part
    span_id: int
    carrier: Carrier


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
