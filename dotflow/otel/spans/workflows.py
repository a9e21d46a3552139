"""Runs of workflows: each fact about them begins or ends a root span, and is a line of the log."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, format_trace_id

from dotflow.otel import attributes as names
from dotflow.otel.ids import pinned, trace_id_of
from dotflow.otel.spans.carriers import template_of
from dotflow.otel.spans.markers import mark
from dotflow.otel.spans.origin import Origin, TraceContinuation, origin_of_a_run, within_run
from dotflow.otel.spans.record import FAILED, tell_end_of_workflow, type_of, workflow_attributes
from dotflow.otel.spans.runs import Part, WorkflowRun, with_run
from dotflow.otel.spans.starting import is_sampled, link, links_to, started
from dotflow.otel.spans.values import short
from dotflow.process import at_exit
from dotflow.runlog.keeping import keeper
from dotflow.runlog.lines import CLOCK, compact
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dotflow.abc.facts import RunBegan, RunEnded, RunFailed
    from dotflow.otel.export.provider.pipeline import Pipeline
    from dotflow.otel.metrics.of_server import ServerMetrics
    from dotflow.otel.spans.exceptions import Exceptions
    from dotflow.otel.spans.open_runs import OpenRuns
    from dotflow.otel.spans.splitting import Splitter
    from dotflow.otel.spans.tasks import TaskTeller
    from dotflow.runlog.texts import Texts


class WorkflowTeller:
    """Tells of runs, by spans and lines.

    Args:
        runs: The runs that are under way.
        opened: Gives the pipeline that spans go through.
        tasks: Tells of their tasks.
        texts: Makes the texts of errors.
        exceptions: Says how it is told what failed.
        splitter: Splits runs.
        continuation: What a run does with the trace that it is started in.
        has_markers: Whether a tiny span says that a run has begun.
        metrics: Knows what counts runs.
    """

    def __init__(
        self, runs: OpenRuns, opened: Callable[[], Pipeline], tasks: TaskTeller, texts: Texts,
        exceptions: Exceptions, splitter: Splitter, continuation: TraceContinuation,
        has_markers: bool, metrics: ServerMetrics,
    ) -> None:  # fmt: skip
        self._runs = runs
        self._opened = opened
        self._tasks = tasks
        self._texts = texts
        self._exceptions = exceptions
        self._splitter = splitter
        self._continuation = continuation
        self._has_markers = has_markers
        self._metrics = metrics

    def began(self, fact: RunBegan, workflow: str, channel: Any) -> None:
        """A run began."""
        pipeline = self._opened()
        at_exit.close_in_child()
        origin = origin_of_a_run(self._continuation)
        context = origin.context
        again = self._runs.last_root(workflow) is not None
        fact = self._texts.of_run(fact)
        run = WorkflowRun(workflow, fact, context, channel, again, self._texts.name)
        parent = trace.get_current_span(context).get_span_context()
        is_entry = not parent.is_valid or parent.is_remote
        known = workflow_attributes(
            workflow, fact.mode, fact.name and run.name, fact.plan, channel is not None
        )
        with pinned(trace_id_of(workflow)) if pipeline.pins_trace_ids else nullcontext():
            run.span = started(
                pipeline.tracer,
                short(run.name),
                context=with_run(run, context),
                kind=SpanKind.SERVER if is_entry else SpanKind.INTERNAL,
                attributes=known,
                links=self._links_of(run, origin),
                start_time=fact.at_ns,
            )
        run.context = within_run(trace.set_span_in_context(run.span, context))
        run.part = Part(1, run.span, run.context)
        run.part.place = pipeline.place_of(run.span, run.number)
        run.report_to(pipeline.readers() if is_sampled(run.span) else {}, keeper.is_wanted())
        if run.is_only_kept:
            keeper.join()
        run.tally = self._metrics.tally()
        self._write_start(run, fact)
        lost = self._runs.add(run)
        if self._has_markers:
            mark(pipeline.tracer, names.SPAN_WORKFLOW_STARTED, run.span, known)
        for one in lost:
            self._end(one, "In progress", one.duration, None)

    def failed(self, fact: RunFailed, workflow: str) -> None:
        """Something other than a step ended a run."""
        run = self._runs.of_workflow(workflow)
        if run is not None:
            run.error = self._texts.of_error(fact.error)
            if run.lines is not None:
                run_log.append(run.lines.run_failed(fact, run.error))

    def ended(self, fact: RunEnded, workflow: str) -> None:
        """A run ended."""
        run = self._runs.take(workflow, fact.run)
        if run is None:
            return
        try:
            self._end(run, fact.status, fact.duration, fact.at_ns)
        finally:
            if run.lines is not None:
                run_log.append(run.lines.run_ended(fact))
            if run.channel is not None:
                run.channel.poke()
        if run.tally is not None:
            failed = run.error if run.first_failed is None else run.first_failed.error
            error = None if failed is None or fact.status != FAILED else type_of(failed)
            where = run.span.get_span_context()
            run.tally.runs.append((run.given_name, fact.status, fact.duration, error, where))
        if run.has_children:
            self._opened().look()

    def _write_start(self, run: WorkflowRun, fact: RunBegan) -> None:
        if run.lines is None:
            return
        extra = ""
        if run.channel is not None or run.is_kept:
            found = run.span.get_span_context()
            # Without a span (the SDK is switched off) the id that the trace would have.
            said = {
                "trace_id": format_trace_id(found.trace_id or trace_id_of(run.workflow)),
                "span": trace.format_span_id(found.span_id),
                "carrier": template_of(run.context, run.span, run.secret),
                "title": run.name,
                "known": run.is_known,
                "again": run.is_again,
                "up": time.clock_gettime_ns(CLOCK),
            }
            extra = f",{compact(said)[1:-1]}"
        run_log.append(run.lines.run_began(fact, extra))
        if run.channel is not None:
            run.channel.poke()

    def _links_of(self, run: WorkflowRun, origin: Origin) -> list[Link]:
        """From the root of a run to that of the run before it, and to the span it is started in."""
        links = links_to(run.began.earlier, names.LINK_TYPE_EARLIER_RUN)
        last = self._runs.last_root(run.workflow)
        if not links and last is not None:
            links = [link(last, names.LINK_TYPE_EARLIER_RUN)]
        if origin.linked is not None:
            links.append(Link(origin.linked, {names.LINK_TYPE: names.LINK_TYPE_STARTED_IN}))
        return links

    def _end(self, run: WorkflowRun, status: str, duration: float, at_ns: int | None) -> None:
        """End the span of a run, and those of it that are left: none, where its engine is ours."""
        for task in list(run.tasks.values()):
            self._tasks.abandon(task, "In progress", at_ns)
        self._tasks.reserver.give_back(run)
        self._splitter.close(run)
        if run.error is not None:
            self._exceptions.tell(run.span, names.EVENT_WORKFLOW_EXCEPTION, run.error, None)
        tell_end_of_workflow(run.span, status, duration, run.first_failed, run.error)
        run.span.end(at_ns)
