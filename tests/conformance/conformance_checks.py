"""What has to be true of a cell's trace."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec

ERROR = 2
SERVER, CLIENT = 2, 3
UNANSWERED = ("Failed to export", "could not be exported")  # OpenTelemetry's words, and ours
SLACK = 500_000_000  # nanoseconds by which clocks of one machine may disagree

LIBRARIES = {
    name
    for library in ("requests", "sqlite3", "urllib3")
    if find_spec(name := f"opentelemetry.instrumentation.{library}") is not None
}
"""Of those that are installed."""


def once(spans, said, may_return=frozenset()):
    """The spans, each of which arrived once.

    The same span may come a second time only if nobody can know whether it had arrived: an
    exporter waited in vain for an answer, as it may on a machine that is busy, and said so; or its
    process was killed before it noted the answer (the ids in `may_return`).
    """
    by_id = {span.span_id: span for span in spans}
    assert all(span == by_id[span.span_id] for span in spans)
    if not any(words in said for words in UNANSWERED):
        times = Counter(span.span_id for span in spans)
        assert {one for one, n in times.items() if n > 1 + (one in may_return)} == set(), said
    return list(by_id.values())


class Trace:
    """The spans of one run.

    Args:
        ran: What a row's programs saw and sent.
        row: The row.
        outcome: Which of the row's runs.
    """

    def __init__(self, ran, row, outcome):
        self.ran, self.outcome = ran, outcome
        self.program_ended = outcome.ends_program_of(row)
        self.error_type = outcome.error_type_of(row)
        self.run = ran.run_of(outcome.key)
        self.steps = ran.steps_of(outcome.key)
        self.id = self.run["workflow"].replace("-", "")
        arrived = [span for span in ran.spans if span.trace_id == self.id]
        self.spans = once(arrived, ran.errors, ran.may_return)
        self.by_id = {span.span_id: span for span in self.spans}

    def check(self):
        """All that is checked in every cell."""
        assert self.steps, f"the step did not run:\n{self.ran.errors}"
        self.is_one_trace()
        self.has_one_root_and_no_orphan()
        self.task_ended_truly()
        self.times_are_true()
        self.spans_of_the_step_are_there()
        self.baggage_came_along()
        self.only_the_program_made_calls()
        self.records_are_true()
        if self.outcome.key == "returns":
            self.libraries_nest()

    @property
    def root(self):
        return next(span for span in self.spans if not span.parent_id)

    @property
    def task(self):
        [task] = [span for span in self.spans if "dotflow.task.id" in span.attributes]
        return task

    @property
    def attempts(self):
        found = [span for span in self.spans if "dotflow.attempt.number" in span.attributes]
        return sorted(found, key=lambda span: span.attributes["dotflow.attempt.number"])

    def is_one_trace(self):
        """No span of the run is in another trace, or in no run's."""
        runs = {note["workflow"].replace("-", "") for note in self.ran.notes if "workflow" in note}
        strays = [
            span for span in self.ran.spans
            if span.trace_id != self.id
            and (span.attributes.get("outcome") == self.outcome.key or span.trace_id not in runs)
        ]  # fmt: skip
        assert strays == []

    def has_one_root_and_no_orphan(self):
        """One span has no parent, the workflow's; the parent of every other is there."""
        roots = [span.name for span in self.spans if not span.parent_id]
        assert roots == [self.outcome.key]
        orphans = [s.name for s in self.spans if s.parent_id and s.parent_id not in self.by_id]
        assert orphans == []

    def task_ended_truly(self):
        """The task's span, the attempts' and the root's say what happened, and nothing else."""
        task, failed = self.task, self.error_type is not None
        assert task.parent_id == self.root.span_id
        assert task.attributes["dotflow.task.status"] == ("Failed" if failed else "Completed")
        assert task.attributes.get("error.type") == self.error_type
        assert (task.status == ERROR) is failed
        assert (self.root.status == ERROR) is failed
        exceptions = [event for span in self.spans for event in span.events]
        retried = self.outcome.key == "is_retried"
        # Who finds that a program is gone has seen no exception.
        assert len(exceptions) == (1 if (failed and not self.program_ended) or retried else 0)
        if retried:
            first, second = self.attempts
            assert {first.parent_id, second.parent_id} == {task.span_id}
            is_limited = task.name.startswith("limited")
            assert first.attributes["error.type"] == ("timeout" if is_limited else "ValueError")
            assert (first.status == ERROR, second.status == ERROR) == (True, False)
            assert task.attributes["dotflow.task.retry_count"] == 1
        else:
            assert self.attempts == []

    def times_are_true(self):
        """Spans begin and end within what the program itself measured."""
        begun, ended = self.steps[0]["begun"], self.steps[-1]["at"]
        task = self.task
        assert self.run["at"] - SLACK <= self.root.start <= task.start <= begun + SLACK
        assert task.end <= self.root.end + SLACK
        if (
            not self.outcome.ends_program
        ):  # what went on elsewhere is not what it was last seen to do
            assert ended - SLACK <= task.end
        if not self.program_ended:
            assert self.root.end <= self.ran.end_of(self.outcome.key)["at"] + SLACK
        if self.attempts:
            first, second = self.attempts
            assert task.start <= first.start <= first.end <= second.start + SLACK
            assert second.end <= task.end + SLACK

    def spans_of_the_step_are_there(self):
        """Each span that the step ended arrived, below the span that was current: the task's."""
        allowed = {self.task.span_id} | {span.span_id for span in self.attempts}
        if self.outcome.key == "is_retried":
            numbers = [self.by_id[step["current"]].attributes.get("dotflow.attempt.number")
                       for step in self.steps]  # fmt: skip
            late = [step.get("late", False) for step in self.steps]
            assert set(numbers) == {1, 2}
            assert all(
                number == 1 for number, is_late in zip(numbers, late, strict=True) if is_late
            )
            allowed.discard(self.task.span_id)
        for step in self.steps:
            outer, inner = step["spans"]
            assert step["current"] in allowed
            assert {outer, inner} <= set(self.by_id), "spans of the step are lost"
            assert self.by_id[outer].parent_id == step["current"]
            assert self.by_id[inner].parent_id == outer
            assert step["begun"] - SLACK <= self.by_id[outer].start
            assert self.by_id[outer].end <= step["at"] + SLACK

    def baggage_came_along(self):
        """The step sees the baggage of who started the run."""
        assert {step["tenant"] for step in self.steps} == {"acme"}

    def libraries_nest(self):
        """What instrumented libraries trace and log in the step is in the trace, below its span."""
        outers = {step["spans"][0] for step in self.steps}
        of_libraries = [span for span in self.spans if span.scope in LIBRARIES]
        assert {span.scope for span in of_libraries} == LIBRARIES
        assert {span.parent_id for span in of_libraries} == outers
        assert {step["logged"] for step in self.steps} == {self.id}

    def records_are_true(self):
        """dotflow-api has the same of the run and of its task."""
        workflow, [task] = self.ran.records[self.outcome.key]
        status = "Failed" if self.error_type is not None else "Completed"
        assert (workflow["status"], task["status"]) == (status, status)
        assert workflow["trace_id"] == self.id
        assert task["retry_count"] == self.task.attributes.get("dotflow.task.retry_count", 0)
        assert bool(task["errors"]) is (status == "Failed" or self.outcome.key == "is_retried")

    def only_the_program_made_calls(self):
        """Delivery makes no span: each call is one that the step made."""
        outers = {step["spans"][0] for step in self.steps}
        calls = [span for span in self.spans if span.kind == CLIENT]
        assert {span.parent_id for span in calls} <= outers
        assert all(span.kind != SERVER or span is self.root for span in self.spans)
