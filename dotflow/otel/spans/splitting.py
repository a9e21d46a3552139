"""Splitting: a run of very many tasks is several linked traces, so that no backend refuses it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from dotflow.logging import logger
from dotflow.otel import attributes as names
from dotflow.otel.ids import pinned, trace_id_of
from dotflow.otel.spans.carriers import template_of
from dotflow.otel.spans.markers import mark
from dotflow.otel.spans.record import fail_by
from dotflow.otel.spans.runs import Part
from dotflow.otel.spans.starting import is_sampled, link, started
from dotflow.otel.spans.values import short
from dotflow.runlog.lines import compact

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

    from dotflow.otel.export.provider.pipeline import Pipeline
    from dotflow.otel.spans.runs import WorkflowRun

TASKS_PER_TRACE = 10_000
"""Tasks in one trace: 5 MB of spans of tasks that say little."""

MOST_LINKS = 64
"""Parts that the run's root links to; the SDK keeps 128 links of a span."""

VARIABLE = "DOTFLOW_TRACE_MAX_TASKS"

_HASHED_BITS = 48
_SHARED_MASK = (1 << (128 - _HASHED_BITS)) - 1


def part_trace_id(workflow: str, number: int) -> int:
    """The trace id (128 bits) of a part of a workflow, on a provider of ours.

    The first 12 of its 32 hex digits are a hash of the workflow's id and the number, the others
    are those of the run's own trace: a ratio sampler, which looks at these, decides the same.

    Args:
        workflow: The workflow's id.
        number: The part's number; 1 is the run's own trace.
    """
    own = trace_id_of(workflow)
    if number == 1:
        return own
    import hashlib  # here, for most runs are one trace

    seed = f"{workflow}/{number}".encode("utf-8", "replace")
    hashed = int.from_bytes(hashlib.blake2b(seed, digest_size=_HASHED_BITS // 8).digest(), "big")
    return hashed << (128 - _HASHED_BITS) | own & _SHARED_MASK


class Splitter:
    """Splits runs.

    Args:
        limit: Tasks in one trace, 0 for any number; None for what DOTFLOW_TRACE_MAX_TASKS says,
            TASKS_PER_TRACE by default.
        has_markers: Whether a tiny span says that a part has begun.

    Attributes:
        limit: The weight of tasks in one trace; 0 for any.
    """

    def __init__(self, limit: int | None = None, has_markers: bool = False) -> None:
        self.limit = _limit_from_environment() if limit is None else limit
        self._has_markers = has_markers

    def with_room(
        self, run: WorkflowRun, opened: Callable[[], Pipeline], began_ns: int | None
    ) -> Part:
        """The part that has room for one more task; a new one, if need be.

        A run that is not sampled is in no trace, and its parts are not to be either. Where the
        sampler of an application wants the run but not the part, the tasks stay where they are.
        """
        if 0 < self.limit <= run.part.weight and is_sampled(run.span):
            return self._next(run, opened(), began_ns)
        return run.part

    def _next(self, run: WorkflowRun, pipeline: Pipeline, began_ns: int | None) -> Part:
        full = run.part
        part = _begun(run, pipeline, began_ns)
        if part is None:
            full.weight = 0
            return full
        run.part = part
        if full.running == 0:
            end_part(full)
        if self._has_markers:
            mark(pipeline.tracer, names.SPAN_PART_STARTED, part.span, part.known)
        return part

    def give_back(self, run: WorkflowRun, part: Part) -> None:
        """Count no more a task that was to begin."""
        part.running -= 1
        if part.running == 0 and part is not run.part:
            end_part(part)

    def close(self, run: WorkflowRun) -> None:
        """End the last part of a run, whose tasks have all ended."""
        if run.part.number > 1:
            end_part(run.part)
            run.span.set_attribute(names.WORKFLOW_PART_COUNT, run.part.number)


def _begun(run: WorkflowRun, pipeline: Pipeline, began_ns: int | None) -> Part | None:
    """The next part of a run, with a root of its own; None where the sampler does not want it."""
    number = run.part.number + 1
    known: dict[str, Any] = {
        names.WORKFLOW_ID: short(run.workflow),
        names.WORKFLOW_PART: number,
    }
    if run.began.name:
        known[names.WORKFLOW_NAME] = short(run.name)
    trace_id = part_trace_id(run.workflow, number)
    with pinned(trace_id) if pipeline.pins_trace_ids else nullcontext():
        span = started(
            pipeline.tracer,
            names.SPAN_PART,
            # With what is in the run's context (baggage), but without a span: it is a root.
            context=trace.set_span_in_context(trace.INVALID_SPAN, run.context),
            attributes=known,
            links=[link(run.span.get_span_context(), names.LINK_TYPE_PART_OF)],
            start_time=began_ns,
        )
    if not is_sampled(span):
        span.end()
        return None
    if number <= MOST_LINKS:
        there = link(span.get_span_context(), names.LINK_TYPE_PART)
        run.span.add_link(there.context, there.attributes)
    part = Part(number, span, trace.set_span_in_context(span, run.context), known)
    part.place = pipeline.place_of(span, run.number)
    part.extra = f',"part":{number}'
    if run.channel is not None:
        found = {"carrier": template_of(part.context, span, run.secret), "trace_id": _hex(span)}
        part.extra += f",{compact(found)[1:-1]}"
    return part


def _hex(span: Span) -> str:
    return trace.format_trace_id(span.get_span_context().trace_id)


def end_part(part: Part) -> None:
    """End the root of a part with its last task; that of the run is not the part's to end."""
    if part.number > 1:
        if part.first_failed is not None:
            fail_by(part.span, part.first_failed)
        part.span.end(part.ended_ns)


def _limit_from_environment() -> int:
    given = os.environ.get(VARIABLE, "").strip()
    try:
        return int(given) if given else TASKS_PER_TRACE
    except ValueError:
        logger.warning("%s=%r is no number: %d is used.", VARIABLE, given, TASKS_PER_TRACE)
        return TASKS_PER_TRACE
