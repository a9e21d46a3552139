"""The lines of the run log that follow from what spans say of a run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context

from dotflow.abc.facts import (
    AttemptBegan,
    AttemptEnded,
    Retried,
    RunEnded,
    TaskBegan,
    TaskEnded,
    TaskRestored,
    next_number,
)
from dotflow.otel.spans.carriers import template_of
from dotflow.otel.spans.record import COMPLETED, FAILED
from dotflow.runlog.lines import CLOCK, OTEL, OWING, WAIT, RunLines, compact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import SpanContext

    from dotflow.otel.heard.reading import HeardAttempt, HeardRun, HeardTask
    from dotflow.runlog.texts import Texts


class RunTeller:
    """Makes the lines of one run.

    Args:
        workflow: The workflow's id.
        key: Who reads them.
        texts: Makes the texts of values, errors and names.
        secret: What is in no line: the token of the reader's dotflow-api.

    Attributes:
        number: The run's number.
    """

    def __init__(self, workflow: str, key: str, texts: Texts, secret: str) -> None:
        self.number = next_number()
        self._lines = RunLines(workflow, self.number, {key: OTEL})
        self._texts = texts
        self._secret = secret
        self._up = time.clock_gettime_ns(CLOCK)
        self._carriers: dict[tuple[Any, ...], dict[str, str]] = {}

    # The run.

    def heard_of(self, task: HeardTask, wait: float | None) -> bytes:
        """A run of which only a task is known.

        Args:
            task: The task.
            wait: Seconds until it is said without its name; None to say it now.
        """
        said = {**self._known(None), **self._leads_to(task.place, task.parent or task.span_id)}
        said[OWING] = False
        return self._lines.run_told(self.number, said if wait is None else {**said, WAIT: wait})

    def began(self, run: HeardRun, is_owing: bool) -> bytes:
        """A run of which the root is known.

        Args:
            run: The root.
            is_owing: Whether this process owes its end: it goes on here.
        """
        said = {**self._known(run), **self._leads_to(run.place, run.span_id)}
        return self._lines.run_told(
            self.number, {**said, "at": run.began or run.at, OWING: is_owing}
        )

    def ended(self, run: HeardRun) -> bytes:
        """The end of a run, with what it is: its beginning may have been said without."""
        known = self._known(run)
        said = {one: known[one] for one in ("title", "mode", "plan", "trace_id")}
        said |= {"began": run.began, **self._leads_to(run.place, run.span_id)}
        fact = RunEnded(next_number(), self.number, run.at, run.duration, run.status)
        return self._lines.run_ended(fact, f",{compact(said)[1:-1]}")

    def _known(self, run: HeardRun | None) -> dict[str, Any]:
        name = plan = None
        if run is not None:
            name, plan = self._texts.name(run.name), run.plan
        if plan is not None:
            plan = [[one[0], *map(self._texts.name, one[1:])] for one in plan]
        place = None if run is None else run.place
        return {
            "at": None, "name": name, "managed": False, "mode": run and run.mode, "resumed": False,
            "plan": plan, "title": name, "known": False, "again": False, "up": self._up,
            "trace_id": place and trace.format_trace_id(place.trace_id),
        }  # fmt: skip

    def _leads_to(self, place: SpanContext | None, span: int) -> dict[str, Any]:
        """What leads dotflow-api to a span, in the trace of another or its own."""
        if place is None:
            return {}
        found = (place.trace_id, place.trace_flags, place.trace_state.to_header())
        carrier = self._carriers.get(found)
        if carrier is None:
            context = trace.set_span_in_context(trace.NonRecordingSpan(place), Context())
            carrier = template_of(context, trace.NonRecordingSpan(place), self._secret)
            self._carriers = {found: carrier}  # the next span is in the same trace
        return {"span": trace.format_span_id(span), "carrier": carrier}

    # Its tasks.

    def task_began(self, task: HeardTask) -> bytes:
        """A task began."""
        fact = TaskBegan(next_number(), task.task, task.began or task.at)
        return self._lines.task_began(
            fact, self._texts.name(task.name), self._texts.name(task.group),
            self._context(task, "initial"), self._context(task, "previous"), self._extra(task),
        )  # fmt: skip

    def task(self, task: HeardTask, is_begun: bool) -> Iterator[bytes]:
        """All that a finished task's span, and those of its attempts, say.

        Args:
            task: The task.
            is_begun: Whether its beginning was said.
        """
        if task.is_restored:
            yield self._restored(task)
            return
        if not is_begun:
            yield self.task_began(task)
        if task.status not in (COMPLETED, FAILED):
            return
        before = sorted(task.attempts.values(), key=lambda one: one.number)
        last = before.pop() if before else None
        for count, attempt in enumerate(before, 1):
            yield from self._attempt(task, attempt)
            if attempt.error is not None:
                error = replace(attempt.error, attempt=attempt.number)
                fact = Retried(next_number(), task.task, attempt.at, count, error)
                yield self._lines.retried(fact, self._texts.of_error(error))
        if last is not None:
            yield from self._attempt(task, last)
        yield self._task_ended(task, last, len(before), is_begun)

    def _task_ended(
        self, task: HeardTask, last: HeardAttempt | None, tries_before: int, is_begun: bool
    ) -> bytes:
        failed = None
        if task.status == FAILED:
            # The exception of a task that was tried again is on the span of its last attempt.
            failed = task.error if last is None or last.error is None else last.error
        retries = tries_before if task.retries < 0 else task.retries
        fact = TaskEnded(
            next_number(), task.task, task.at, task.duration, task.status, retries, None
        )
        extra = ""
        if is_begun:
            for role in ("initial", "previous"):
                if role in task.contexts:
                    extra += f',"{role}":{self._context(task, role)}'
        error = self._texts.of_error(failed)
        return self._lines.task_ended(fact, self._context(task, "current"), error, extra)

    def _attempt(self, task: HeardTask, attempt: HeardAttempt) -> Iterator[bytes]:
        number, began_at = attempt.number, attempt.began or attempt.at
        began = AttemptBegan(next_number(), task.task, number, began_at)
        yield self._lines.attempt_began(began)
        ended = AttemptEnded(next_number(), task.task, number, attempt.at, None)
        yield self._lines.attempt_ended(ended)

    def _restored(self, task: HeardTask) -> bytes:
        fact = TaskRestored(next_number(), task.task, task.began or task.at, None)
        return self._lines.task_restored(
            fact, self._texts.name(task.name), self._texts.name(task.group),
            self._context(task, "initial"), self._context(task, "previous"),
            self._context(task, "current"), self._extra(task),
        )  # fmt: skip

    def _context(self, task: HeardTask, role: str) -> str:
        return self._texts.of(role, task.contexts.get(role))

    def _extra(self, task: HeardTask) -> str:
        found = self._leads_to(task.place, task.span_id)
        return f",{compact(found)[1:-1]}" if found else ""
