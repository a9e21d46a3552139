"""Spans that are given away before they begin: to workers, which have no way back until the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from opentelemetry.trace import NonRecordingSpan, SpanContext, format_span_id

from dotflow.otel.ids import reserve_span_id
from dotflow.otel.propagation import step_carrier_of
from dotflow.otel.spans.runs import Reserved, with_span

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from dotflow.abc.facts import Carrier
    from dotflow.abc.task import TaskView
    from dotflow.otel.export.provider.pipeline import Pipeline
    from dotflow.otel.spans.open_runs import OpenRuns
    from dotflow.otel.spans.runs import Part, WorkflowRun
    from dotflow.otel.spans.splitting import Splitter


def attempt_id(task: int, attempt: int) -> int:
    """The id (64 bits) of an attempt's span: it follows from that of its task, for any number."""
    import hashlib  # here, for most runs need no executor

    seed = f"{task:016x}/{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big") or 1


def context_of(part: Part, span_id: int) -> Context:
    """The context of a span of a part which has not begun; that of the part where it has no id."""
    if not span_id:
        return part.context
    found = part.span.get_span_context()
    ids = SpanContext(found.trace_id, span_id, False, found.trace_flags, found.trace_state)
    return with_span(NonRecordingSpan(ids), part.context)


class Carriers(Sequence["Carrier"]):
    """What leads to the span of a task, then to that of each try; made as they are asked for.

    Args:
        first: What leads to the span of the task.
        span_id: Its id; 0 where all lead to the same span.
        attempts: How many tries have spans.
    """

    def __init__(self, first: Carrier, span_id: int, attempts: int) -> None:
        self._first = first
        self._span_id = span_id
        self._attempts = attempts

    def __len__(self) -> int:
        return 1 + self._attempts

    @overload
    def __getitem__(self, index: int) -> Carrier: ...

    @overload
    def __getitem__(self, index: slice) -> list[Carrier]: ...

    def __getitem__(self, index: int | slice) -> Carrier | list[Carrier]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        attempt = range(len(self))[index]
        if not attempt or not self._span_id:
            return self._first
        # As every propagator writes an id that we know of.
        old, new = format_span_id(self._span_id), format_span_id(attempt_id(self._span_id, attempt))
        return {name: value.replace(old, new) for name, value in self._first.items()}


class Reserver:
    """Chooses ids for spans before they begin.

    Args:
        runs: The runs that are under way.
        opened: Gives the pipeline that spans go through.
        splitter: Splits runs.
    """

    def __init__(self, runs: OpenRuns, opened: Callable[[], Pipeline], splitter: Splitter) -> None:
        self._runs = runs
        self._opened = opened
        self._splitter = splitter

    def reserve(self, task: TaskView, attempts: int, known: Carrier) -> Carriers | None:
        """What leads to the spans that a task will have; None if it has begun, or is in no run.

        Args:
            task: The task.
            attempts: How many tries it has at most.
            known: What else the worker is told.
        """
        run = self._runs.of_task(task)
        if run is None or task.task_id in run.tasks:
            return None
        found = run.reserved.get(task.task_id)
        if found is None:
            pipeline = self._opened()
            part = self._splitter.with_room(run, self._opened, None)
            part.begin()
            span_id = reserve_span_id(pipeline.tracer)
            carrier = step_carrier_of(context_of(part, span_id))
            found = run.reserved[task.task_id] = Reserved(part, span_id, carrier)
            if not run.has_children:
                run.has_children = True
                pipeline.watch()
        carrier = {**found.carrier, **self._opened().for_a_worker, **known}
        return Carriers(carrier, found.span_id, attempts if attempts > 1 else 0)

    def give_back(self, run: WorkflowRun) -> None:
        """Take back what was reserved for tasks that never began."""
        while run.reserved:
            _, found = run.reserved.popitem()
            self._splitter.give_back(run, found.part)
