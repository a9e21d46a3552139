"""Tasks and attempts: each fact about them begins or ends a span, and is a line of the run log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import TaskBegan, next_number
from dotflow.otel import attributes as names
from dotflow.otel.spans.light import AttemptSaid, LightSpan, TaskSaid, shown
from dotflow.otel.spans.markers import mark
from dotflow.otel.spans.record import (
    COMPLETED,
    FAILED,
    NULL,
    FailedTask,
    WorkerSaid,
)
from dotflow.otel.spans.reserved import Reserver, attempt_id
from dotflow.otel.spans.runs import (
    TaskRun,
    end,
    extra_of,
    is_changed,
    last_segment,
    poke,
    whole,
    worker_extra,
)
from dotflow.otel.spans.splitting import end_part
from dotflow.otel.spans.starting import links_to, started
from dotflow.runlog.lines import compact
from dotflow.runlog.writer import run_log
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.trace import Link, Span

    from dotflow.abc.facts import (
        AttemptBegan,
        AttemptEnded,
        Retried,
        TaskEnded,
        TaskRestored,
    )
    from dotflow.abc.task import TaskView
    from dotflow.otel.export.provider.pipeline import Pipeline
    from dotflow.otel.metrics.tally import Where
    from dotflow.otel.spans.exceptions import Exceptions
    from dotflow.otel.spans.open_runs import OpenRuns
    from dotflow.otel.spans.record import StepSaid
    from dotflow.otel.spans.runs import WorkflowRun
    from dotflow.otel.spans.splitting import Splitter
    from dotflow.runlog.texts import Texts


SHORT = 64
"""Characters up to which a text is written again: who reads it need not look for it."""


class TaskTeller:
    """Tells of tasks and attempts, by spans and lines.

    Args:
        runs: The runs that are under way.
        opened: Gives the pipeline that spans go through.
        texts: Makes the texts of contexts and errors.
        context_limit: Characters of a context that a span carries.
        exceptions: Says how it is told what failed.
        splitter: Splits runs.
        has_markers: Whether a tiny span says that a task has begun.
        is_redacted: Whether a function decides what may be shown of a value in each role.

    Attributes:
        reserver: Chooses ids for spans before they begin.
    """

    def __init__(
        self, runs: OpenRuns, opened: Callable[[], Pipeline], texts: Texts, context_limit: int,
        exceptions: Exceptions, splitter: Splitter, has_markers: bool, is_redacted: bool,
    ) -> None:  # fmt: skip
        self._runs = runs
        self._opened = opened
        self._text = texts.of
        self._error_text = texts.of_error
        self._name = texts.name
        self._limit = context_limit
        self._exceptions = exceptions
        self._splitter = splitter
        self.reserver = Reserver(runs, opened, splitter)
        self._has_markers = has_markers
        self._is_redacted = is_redacted

    def began(self, fact: TaskBegan, task: TaskView) -> None:
        """A task began."""
        run = self._runs.by_number.get(task.run) or self._runs.of_task(task)
        if run is None or fact.task_id in run.tasks:
            return
        value = task.initial_context.storage
        initial = NULL if value is None else self._text("initial", value)
        value, previous = task.previous_context.storage, NULL
        said_before: int | None = None
        if value is not None:
            last = run.last
            # The engine hands on the very value whose text was made when its task ended.
            if last is not None and last[0] is value and not self._is_redacted:
                previous = last[1]
                is_here = len(previous) > SHORT and last[3] is last_segment()
                said_before = last[2] if is_here else None
            else:
                previous = self._text("previous", value)
        known = run.step(task.step, self._limit)
        state = self._begin(run, fact.n, fact.at_ns, task, known[1], initial, previous)
        lines = run.lines
        if lines is not None:
            extra = extra_of(run, state, known[2])
            if run.is_cut:
                if len(initial) > self._limit:
                    initial, extra = self._only_cut("initial", initial, extra)
                if said_before is None and len(previous) > self._limit:
                    previous, extra = self._only_cut("previous", previous, extra)
            group = task.group_name
            line = lines.task_began(
                fact, known[3], self._name(group if group.isascii() else clean(group)), initial,
                said_before or previous, extra,
            )  # fmt: skip
            run_log.append(line)
            if run.channel is not None:
                run.channel.poke()
        if self._has_markers:
            mark(self._opened().tracer, names.SPAN_TASK_STARTED, state.span, state.said.at_start())

    def attempt_began(self, fact: AttemptBegan, task: TaskView) -> None:
        """One try of a task began."""
        run = self._runs.of_task(task)
        state = None if run is None else run.tasks.get(fact.task_id)
        if run is None or state is None:
            return
        if state.attempt is not None:  # its end was not told
            whole(state.attempt).end(fact.at_ns)
        said, extra = AttemptSaid(fact.attempt, run.channel is not None), ""
        given = attempt_id(state.reserved, fact.attempt) if state.reserved else 0
        if isinstance(state.span, LightSpan):
            place = state.span.place.below(state.span.context)
            span_id = given or self._opened().new_span_id()
            attempt = LightSpan(place, span_id, names.SPAN_ATTEMPT, fact.at_ns, said)
            extra = f',"span":"{attempt.span_id:016x}"'
            state.attempt = attempt
        else:
            state.attempt = started(
                self._opened().tracer, names.SPAN_ATTEMPT, context=state.context,
                span_id=given, attributes=said.at_start(), start_time=fact.at_ns,
            )  # fmt: skip
        state.attempt_number = fact.attempt
        if run.lines is not None:
            run_log.append(run.lines.attempt_began(fact, extra))
            poke(run)

    def attempt_ended(self, fact: AttemptEnded, task: TaskView) -> None:
        """That try ended."""
        run = self._runs.of_task(task)
        state = None if run is None else run.tasks.get(fact.task_id)
        # A task has one attempt at a time: the end of another one is not this one's.
        if run is None or state is None or state.attempt_number != fact.attempt:
            return
        attempt, state.attempt = state.attempt, None
        if attempt is None:
            return
        error = NULL if fact.error is None else self._error_text(fact.error)
        said = AttemptSaid(fact.attempt) if not isinstance(attempt, LightSpan) else attempt.said
        extra = self._fail(attempt, said, error, fact.at_ns)
        said.n = fact.n
        has_changed = is_changed(attempt)
        if has_changed:
            end(attempt, said, fact.at_ns)
        if run.lines is not None:
            run_log.append(run.lines.attempt_ended(fact, error, extra))
            poke(run)
        if not has_changed:
            end(attempt, said, fact.at_ns)

    def retried(self, fact: Retried, task: TaskView) -> None:
        """A task will be tried again."""
        run = self._runs.of_task(task)
        state = None if run is None else run.tasks.get(fact.task_id)
        if run is None or state is None:
            return
        if run.tally is not None:
            said, where = state.said, state.span.get_span_context()
            run.tally.retries.append(
                (run.given_name, said.step.name, said.group, fact.error.error_type, where)
            )
        if run.lines is not None:
            run_log.append(run.lines.retried(fact, self._error_text(fact.error)))
            poke(run)

    def ended(self, fact: TaskEnded, task: TaskView) -> None:
        """A task ended."""
        run = self._runs.by_number.get(task.run) or self._runs.of_task(task)
        if run is None:
            return
        state = run.tasks.get(fact.task_id)
        if state is None:
            if fact.task_id in run.ended:
                return
            self.began(TaskBegan(next_number(), fact.task_id, task.started_ns or fact.at_ns), task)
            state = run.tasks[fact.task_id]
        value = task.current_context.storage
        current = NULL if value is None else self._text("current", value)
        error = NULL if fact.error is None else self._error_text(fact.error)
        said = state.said
        if state.attempt is not None:  # a child that died within a try
            self._end_lost_attempt(state, error, fact.at_ns)
        said.status, said.duration = fact.status, fact.duration
        said.retry_count = fact.retry_count
        said.restored = task.restored
        said.current = shown(current, self._limit)
        tally = run.tally
        if tally is not None and not said.restored:  # no call: it is on every task's way
            span, failed = state.span, fact.error
            if isinstance(span, LightSpan):
                where: Where = span.place.parent, span.span_id
            else:
                where = span.get_span_context()
            tally.tasks.append((
                run.given_name, said.step.name, said.group, fact.status, fact.duration,
                None if failed is None else failed.error_type, where,
            ))  # fmt: skip
            if len(tally.tasks) > tally.most:
                tally.relieve()
        self._finish(run, state, fact, task, error, current)
        run.last = value, current, fact.n, last_segment()

    def restored(self, fact: TaskRestored, task: TaskView) -> None:
        """A task's result came from a checkpoint."""
        run = self._runs.of_task(task)
        if run is None or fact.task_id in run.tasks:
            return
        links = links_to(fact.note, names.LINK_TYPE_RESTORED_FROM) if fact.note else []
        value = task.current_context.storage
        texts = [
            self._text("initial", task.initial_context.storage),
            self._text("previous", task.previous_context.storage),
            self._text("current", value),
        ]
        known = run.step(task.step, self._limit)
        state = self._begin(run, fact.n, fact.at_ns, task, known[1], texts[0], texts[1], links)
        said = state.said
        said.status, said.restored = COMPLETED, True
        said.current, said.n = shown(texts[2], self._limit), fact.n
        is_linked = bool(links) and isinstance(state.span, LightSpan)
        if is_linked:
            whole(state.span)  # a line of the fact has no room for links
            self._leave(run, state, fact.at_ns + 1)
        if run.lines is not None:
            extra = extra_of(run, state, known[2], is_whole=is_linked)
            if run.is_cut:
                for number, role in enumerate(("initial", "previous", "current")):
                    texts[number], extra = self._only_cut(role, texts[number], extra)
            initial, previous, current = texts
            name, group = known[3], self._name(clean(task.group_name))
            line = run.lines.task_restored(fact, name, group, initial, previous, current, extra)
            run_log.append(line)
            poke(run)
        if not is_linked:
            self._leave(run, state, fact.at_ns + 1)
        run.last = value, texts[2], fact.n, None

    def abandon(self, state: TaskRun, status: str, at_ns: int | None) -> None:
        """End the span of a task whose run ended before it."""
        run, said = state.workflow, state.said
        try:
            if state.attempt is not None:
                whole(state.attempt).end(at_ns)
            said.status, said.reason = status, "the run ended before the task did"
            end(whole(state.span), said, at_ns)
        finally:
            run.tasks.pop(said.task_id, None)
            if state.part.end(said, at_ns) and state.part is not run.part:
                end_part(state.part)

    # The parts of it.

    def _begin(
        self, run: WorkflowRun, n: int, at_ns: int, task: TaskView, step: StepSaid,
        initial: str, previous: str, links: Sequence[Link] = (),
    ) -> TaskRun:  # fmt: skip
        reserved = run.reserved.pop(task.task_id, None) if run.reserved else None
        if reserved is not None:
            part = reserved.part
        else:
            part = run.part
            if 0 < self._splitter.limit <= part.weight:
                part = self._splitter.with_room(run, self._opened, at_ns)
            part.begin()
        said = TaskSaid(
            run.short, step, task.task_id, self._name(str(task.group_name)), n,
            None if initial == NULL else shown(initial, self._limit),
            None if previous == NULL else shown(previous, self._limit),
            run.channel is not None,
        )  # fmt: skip
        state = TaskRun(run, part, said)
        place = getattr(task, "place", None)
        if place is not None:
            said.worker = WorkerSaid.of(place, at_ns)
        if reserved is not None:
            state.reserved = reserved.span_id
        place = part.place
        source = None if place is None else place.source
        if source and place and not (source.is_open and place.way.are_light):
            pipeline = self._opened()
            source = pipeline if pipeline.is_light else None
        if source is not None and place is not None:
            state.span = LightSpan(
                place, state.reserved or source.new_span_id(), step.name, at_ns, said, links
            )
        else:
            state.span = started(
                self._opened().tracer, step.name, context=part.context, span_id=state.reserved,
                attributes=said.at_start(), links=links, start_time=at_ns,
            )  # fmt: skip
        run.tasks[task.task_id] = state
        run.ended.discard(task.task_id)
        return state

    def _finish(
        self, run: WorkflowRun, state: TaskRun, fact: TaskEnded, task: TaskView, error: str,
        current: str,
    ) -> None:  # fmt: skip
        said, extra = state.said, ""
        said.n = fact.n
        known, place = said.worker, getattr(task, "place", None)
        if place is not None and place.host and (known is None or not known.host):
            said.worker = WorkerSaid.of(place, task.started_ns or fact.at_ns)
            extra = worker_extra(said.worker)
        if error != NULL:
            if said.step.max_attempts == 1:
                extra += self._fail(state.span, said, error, fact.at_ns)
            else:
                said.error = error
            if run.first_failed is None and fact.status == FAILED:
                run.first_failed = FailedTask(said.task_id, said.step.name, error)
        span = state.span
        if type(span) is LightSpan and span.body is not None:  # written down before its fact is
            self._leave(run, state, fact.at_ns)
        lines = run.lines
        if lines is not None:
            if run.is_cut and len(current) > self._limit:
                current, extra = self._only_cut("current", current, extra)
            run_log.append(lines.task_ended(fact, current, error, extra))
            if run.channel is not None:
                run.channel.poke()
        if fact.task_id in run.tasks:
            self._leave(run, state, fact.at_ns)

    def _leave(self, run: WorkflowRun, state: TaskRun, at_ns: int) -> None:
        said = state.said
        span = state.span
        try:
            if type(span) is LightSpan:
                span.end(at_ns)
            else:
                end(span, said, at_ns)
        finally:  # a processor of the application may raise
            run.tasks.pop(said.task_id, None)
            run.ended.add(said.task_id)
            if state.part.end(said, at_ns) and state.part is not run.part:
                end_part(state.part)

    def _fail(self, span: Span, said: Any, error: str, at_ns: int) -> str:
        """Have a span say what failed it; return what its line has to say of that."""
        if error == NULL:
            return ""
        said.error = error
        if self._exceptions.is_event(span, names.EVENT_TASK_EXCEPTION, error, at_ns):
            said.error_at = at_ns
            return ""
        return ',"event":false'

    def _end_lost_attempt(self, state: TaskRun, error: str, at_ns: int) -> None:
        attempt, state.attempt = state.attempt, None
        if attempt is not None:
            said = attempt.said if isinstance(attempt, LightSpan) else AttemptSaid(0)
            self._fail(attempt, said, error, at_ns)
            end(whole(attempt), said, at_ns)

    def _only_cut(self, role: str, text: str, extra: str) -> tuple[str, str]:
        """A context's text as only spans need it: where that is long, what is left of it."""
        found = shown(text, self._limit)
        if isinstance(found, tuple):
            return NULL, f'{extra},"cut_{role}":{compact(list(found))}'
        return text, extra
