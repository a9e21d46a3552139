"""What a dotflow-api and the processes that report to it have to have done, in books of our own."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from dotflow.delivery.fold.bodies import as_post, without_contexts
from dotflow.delivery.message import Delivered, Instead, Kind, Refused, TryLater

FIRST = (Kind.WORKFLOW_POST, Kind.WORKFLOW_OPEN)
ENDS = ("Completed", "Failed")


@dataclass(eq=False)
class Run:
    """One run of a workflow in one process.

    Attributes:
        began: When, by the clock of the books.
        over: When it ended, or its process died; None while it goes on.
        is_dead: Whether its process died before it ended.
        is_left: Whether its process is gone: another one tells what is left of it.
        words: What it said of each record: (number of the fact, when, status).
    """

    workflow: str
    process: int
    log: str
    number: int
    policy: str
    tasks: tuple[int, ...]
    began: int
    over: int | None = None
    is_dead: bool = False
    is_left: bool = False
    status: dict[int, str] = field(default_factory=dict)
    words: dict[int | None, list[tuple[int, int, str]]] = field(default_factory=dict)

    @property
    def is_open(self):
        return self.over is None

    def overlaps(self, other):
        """Whether another process had a run of it at the same time."""
        if self is other or self.log == other.log:
            return False
        mine, theirs = self.over or 10**9, other.over or 10**9
        return self.began < theirs and other.began < mine


@dataclass(frozen=True)
class Word:
    """What has arrived of a record: by which run, said when.

    Attributes:
        is_void: Whether it changed nothing: dotflow-api answers that the record is there.
    """

    run: Run
    when: int
    status: str
    key: str
    is_void: bool = False


def _is_over_after(outer, *inner):
    """Whether a run ended after others, or goes on."""
    return outer.over is None or outer.over > max(one.over or 0 for one in inner)


class Books:
    """Keeps what was written, and holds what arrives against it."""

    def __init__(self):
        self.clock = 0
        self.runs: list[Run] = []
        self.created: set[str] = set()
        self.added: set[tuple[str, int]] = set()
        self.arrived: dict[tuple[str, int | None], list[Word]] = {}
        self.dead: dict[str, Refused] = {}
        self.seen: dict[str, object] = {}
        self.workflows: set[str] = set()
        self.tasks: set[tuple[str, int]] = set()
        self.no_tasks: set[tuple[str, int]] = set()
        self.once_refused: set[tuple[str, int]] = set()
        self._too_large: set[str] = set()
        self._slots: dict[tuple, str] = {}
        self._took: dict[tuple, str] = {}
        self.constructed: Counter[str] = Counter()
        self._before_runs: dict[tuple, set[str]] = {}

    def tick(self):
        self.clock += 1
        return self.clock

    def run_of(self, message):
        """The run that a message speaks of; None for what was before the first."""
        return next((one for one in self.runs if f"{one.log}-{one.number}" == message.run), None)

    # The server.

    def call(self, message, server_id, outcome):
        """The server gets a message: what becomes of it there, and what it answers."""
        self._check_slot(message)
        answer = self._answer(message, outcome)
        if answer is None:
            self._take(message, server_id)
            answer = TryLater("lost") if outcome == "lost" else Delivered(self._id(message))
        return answer

    def _answer(self, message, outcome):
        """What the server answers where it does not take a message; None where it does."""
        if message.id in self.dead:
            return self.dead[message.id]
        if message.id in self._too_large:
            return self._instead(message, without_contexts(message))
        if outcome in ("later", "away"):
            return TryLater("x", everywhere=outcome == "away")
        return None if message.id in self.seen else self._refusal(message, outcome)

    def _refusal(self, message, outcome):
        if message.kind is Kind.WORKFLOW_OPEN and message.workflow not in self.workflows:
            return self._instead(message, as_post(message))
        smaller = without_contexts(message)
        if outcome == "instead" and len(smaller.body) < len(message.body):
            self._too_large.add(message.id)
            return self._instead(message, smaller)
        if outcome == "refused":
            return self._refuse(message)
        if message.kind is Kind.WORKFLOW_PATCH and message.workflow not in self.workflows:
            return self._refuse(message)
        return None

    def _id(self, message):
        return f"id of {message.workflow}/{message.task}" if message.task is not None else None

    def _instead(self, message, other):
        self._slots[_slot(other)] = other.id
        return Instead(other)

    def _check_slot(self, message):
        """One thing is said under one key: another only in the place of a refused one."""
        known = self._slots.setdefault(_slot(message), message.id)
        if known != message.id:
            is_older_form = message.id in self._too_large or message.kind in FIRST
            assert is_older_form, f"said under two keys: {message}"
        if not message.run and message.kind not in FIRST:
            self._check_before_runs(message)
        assert self.seen.setdefault(("body", message.id), message.body) == message.body

    def _check_before_runs(self, message):
        """What belongs to no run has as many keys as processes constructed its workflow."""
        lane = (message.workflow, message.task, message.kind, message.n)
        said = self._before_runs.setdefault(lane, set())
        said.add(message.id)
        most = self.constructed[message.workflow]
        assert len(said - self._too_large) <= most, f"said under too many keys: {message}"

    def _refuse(self, message):
        self.dead[message.id] = Refused(422, f"no, thank you {self.tick()}")
        if message.kind is Kind.TASK_POST:
            # Also where an earlier run made the record: what this one has to say of it is a dead
            # letter.
            self.once_refused.add((message.workflow, message.task))
            if (message.workflow, message.task) not in self.tasks:
                self.no_tasks.add((message.workflow, message.task))
        if message.kind in FIRST:
            self.seen["refused", message.workflow] = True
        self._note(message, is_taken=False)
        return self.dead[message.id]

    def _take(self, message, server_id):
        lane = (message.workflow, message.task)
        is_repeat = message.id in self.seen
        is_there = message.kind is Kind.WORKFLOW_POST and message.workflow in self.workflows
        is_void = message.kind is Kind.TASK_POST and lane in self.tasks
        self.seen[message.id] = True
        if not is_repeat and message.kind not in FIRST:
            took = self._took.setdefault(_slot(message), message.id)
            assert took == message.id, f"said twice under two keys: {message}"
        if message.task is not None:
            is_made = message.workflow in self.workflows
            assert is_made or ("refused", message.workflow) in self.seen, "a task too early"
        if message.kind is Kind.TASK_PATCH:
            assert lane in self.tasks, f"a PATCH before its POST: {message}"
            assert server_id == self._id(message), f"somebody else's record: {server_id}"
        elif message.kind is Kind.TASK_POST:
            self.tasks.add(lane)
            self.no_tasks.discard(lane)
        elif message.kind in FIRST:
            self.workflows.add(message.workflow)
        if not is_there:  # what makes a record changes none that is there
            self._note(message, is_taken=True, is_void=is_void)

    def _note(self, message, is_taken, is_void=False):
        """Hold a word against those that have arrived."""
        run = self.run_of(message)
        lane = (message.workflow, message.task)
        if run is None or (message.kind is Kind.TASK_POST and run.policy != "otel"):
            return  # that it was added
        when = self._when(run, message)
        words = self.arrived.setdefault(lane, [])
        for word in words:
            if message.kind is Kind.TASK_POST and word.run is not run:
                continue  # a record that is there is not made again
            is_later = word.when > when and not self._are_told_together(word.run, run)
            assert not is_later, f"{lane} went back: {word} before {message}, said at {when}"
        status = json.loads(message.body).get("status", "")
        words.append(Word(run, when, status if is_taken else "", message.id, is_void))
        if message.final and message.task is None:
            self._check_end(run)

    def _are_told_together(self, one, other):
        """Whether a run may be told of after one that began later: the record ends as it should.

        Both went on at a time, or within a third, of another process, which tells its end after
        both; or the later one is within a run that the process of the earlier one tells of next,
        or that went on beside the earlier one.
        """
        around = [
            run for run in self.runs
            if run.workflow == one.workflow and run.overlaps(one) and run.began < one.began
        ]  # fmt: skip
        beside = any(
            run.workflow == one.workflow and run.log == one.log and run.overlaps(other)
            for run in self.runs
            if run.began < one.began and (run.over is None or run.over >= one.began)
        )
        # A process with a run beside the later one has taken over what is left of one before.
        has_taken = other.is_left and any(
            run.workflow == one.workflow and run.overlaps(one) and other.over <= run.began
            for run in self.runs
        )
        return (
            one.overlaps(other)
            or beside
            or has_taken
            or any(
                (outer.log == other.log and other.began < outer.began)
                or (outer.began < other.began and _is_over_after(outer, one, other))
                for outer in around
            )
        )

    def _when(self, run, message):
        if message.is_posthumous:
            assert run.is_dead, f"the end of what goes on: {message}"
            assert json.loads(message.body)["status"] == "Failed"
            last = run.words.get(message.task, [(0, 0, "In progress")])[-1]
            assert last[2] not in ENDS, f"ended already: {message}"
            return run.over
        said = [when for n, when, _ in run.words[message.task] if n == message.n]
        assert said, f"nobody said that: {message}, {run.words[message.task]}"
        return said[0]

    def _check_end(self, run):
        """The end of a run comes after its tasks'."""
        if any(one.workflow == run.workflow and one.began > run.began for one in self.runs):
            return
        for task, words in run.words.items():
            if task is None or (run.workflow, task) in self.once_refused:
                continue
            is_owed = run.is_dead and words[-1][2] not in ENDS
            last = run.over if is_owed else words[-1][1]
            when = [one.when for one in self.arrived.get((run.workflow, task), ())]
            assert max(when, default=0) >= last, f"the end of {run} before task {task}'s"

    # When all is over.

    def check_all_arrived(self):
        """Nothing waits any more: the last word of each record is what it has to be."""
        for workflow in self.created:
            assert workflow in self.workflows or ("refused", workflow) in self.seen, workflow
        for lane in self.added:
            assert lane in self.tasks or lane in self.no_tasks, f"{lane} was not made"
        lanes = {(run.workflow, task) for run in self.runs for task in run.words}
        for workflow, task in lanes:
            self._check_last(workflow, task)

    def _check_last(self, workflow, task):
        if (workflow, task) in self.once_refused:
            return  # what was to change it is a dead letter
        if ("refused", workflow) in self.seen and workflow not in self.workflows:
            return
        runs = [one for one in self.runs if one.workflow == workflow and task in one.words]
        last = max(runs, key=lambda one: (_end(one, task)[0], -one.began))
        several = [last, *(one for one in runs if one.overlaps(last))]
        ends = {_end(one, task) for one in several} | self._inner_ends(runs, several, task)
        words = [one for one in self.arrived.get((workflow, task), []) if not one.is_void]
        assert words, f"of {workflow}/{task} nothing arrived"
        found = words[-1].when
        assert found in {when for when, _ in ends}, (
            f"the last word of {workflow}/{task} was lost: {words[-1]}, not {ends}"
        )

    def _inner_ends(self, runs, several, task):
        """The ends of runs that were within one of several at the same time."""
        logs = {one.log for one in several} if len(several) > 1 else set()
        return {_end(one, task) for one in runs if one.log in logs}


def _end(run, task):
    _, when, status = run.words[task][-1]
    return (run.over, "Failed") if run.is_dead and status not in ENDS else (when, status)


def _slot(message):
    is_first = message.kind is Kind.TASK_POST or message.kind in FIRST
    # What was added before a run began may be said by each process that constructed the workflow.
    said_by = message.run or message.id
    return said_by, message.workflow, message.task, is_first, message.n
