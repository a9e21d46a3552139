"""Processes that run, resume, die, fork and adopt at will: no record ends up wrong."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.histories_at_random import run_at_random
from support.history_lines import PADDING, line_of
from support.outbox_model import ENDS, Books, Run
from support.outbox_process import Process

from dotflow.abc import facts
from dotflow.delivery import dead_letters
from dotflow.delivery.message import Delivered, Kind, NotSent, Refused, TryLater
from dotflow.runlog import files
from dotflow.runlog.lines import RunLines

NAME = "dotflow-api of the machine"
PICK, TASKS = st.integers(0, 1000), st.integers(0, 2)
OUTCOMES = st.sampled_from(
    ["taken"] * 6 + ["refused", "later", "lost", "lost", "away", "instead", "instead"]
)
FIRST_MANAGED = 101


class Histories(RuleBasedStateMachine):
    """Any number of processes on one folder, each with runs of its own."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        os.environ["DOTFLOW_STATE_DIR"] = str(self.folder)
        self.books = Books()
        self.refused = set()
        self.started = self.workflows = self.steps_since_death = 0
        self.to, self.processes = {files.reader_key(NAME): ""}, []
        self.start_process()

    # What processes do.

    @precondition(lambda self: len(self.processes) < 3)
    @rule()
    def start_process(self):
        self.started += 1
        self.processes.append(Process(self.started, NAME))

    @precondition(lambda self: self.steps_since_death > 4)
    @rule(pick=PICK, effects=PICK, how=st.sampled_from(["crash", "fork", "close"]))
    def ends(self, pick, effects, how):
        """A process is killed; or killed where a fork of it lives; or it closes, and goes on."""
        self.steps_since_death = 0
        process = self._process(pick)
        self._die(process, effects)
        if how == "crash":
            self.processes.remove(process)
            process.outbox.dies()
            if not self.processes:
                self.start_process()
            return
        if how == "fork":
            process.outbox.forks_and_dies()
        else:
            process.outbox.call("close")
        self.started += 1
        process.number, process.under_way, process.made = self.started, [], []

    @rule(pick=PICK, whole=st.booleans())
    def torn_or_damaged(self, pick, whole):
        self._process(pick).outbox.call("damage" if whole else "tear")

    def _process(self, pick):
        return self.processes[pick % len(self.processes)]

    def _die(self, process, effects):
        """What was under way may have arrived; nobody will know."""
        for index, group in enumerate(process.under_way):
            self._cut(group, effects >> index & 3)
        now = self.books.tick()
        for run in self.books.runs:
            if run.process == process.number:
                run.is_left = True
                if run.is_open:
                    run.is_dead, run.over = True, now

    # What runs do.

    @rule(pick=PICK, policy=st.sampled_from(["default", "managed"]))
    def construct(self, pick, policy):
        self.workflows += 1
        self._construct(self._process(pick), f"w{self.workflows}", policy, is_new=True)

    @precondition(lambda self: self._ended())
    @rule(pick=PICK, which=PICK)
    def construct_again(self, pick, which):
        """What has ended is run again: by its process while that lives, else by any."""
        ended = self._ended()
        workflow, last = ended[which % len(ended)]
        numbers = {run.process for run in self.books.runs if run.workflow == workflow}
        able = [one for one in self.processes if one.number in numbers] or self.processes
        if len(able) > 1 and any(one.number in numbers for one in able):
            return
        process = able[pick % len(able)]
        if last.policy == "otel":
            self._begin(process, workflow, "otel", True, last.tasks)
        else:
            self._construct(process, workflow, last.policy, is_new=False)

    @precondition(lambda self: self._live() and self.steps_since_death % 4 == 3)
    @rule(pick=PICK, which=PICK, here=st.booleans())
    def construct_within(self, pick, which, here):
        """Somebody begins a run of a workflow while another goes on: here, or anywhere."""
        outer = self._live()[which % len(self._live())]
        process = self._process_of(outer) if here else self._process(pick)
        if self._has_ended_elsewhere(outer.workflow, process):
            return
        if outer.policy == "otel":
            self._begin(process, outer.workflow, "otel", True, outer.tasks)
        elif here or outer.workflow in self.books.workflows:  # else dotflow-api does not know it
            self._construct(process, outer.workflow, outer.policy, is_new=False)

    def _construct(self, process, workflow, policy, is_new):
        """A workflow and its tasks come to be; under an id from outside the tasks wait."""
        if any(made[0] == workflow for made in process.made):
            return
        is_managed = policy == "managed" or not is_new
        if policy == "managed":
            self.books.workflows.add(workflow)
        lines = RunLines(workflow, 0, dict.fromkeys(self.to, policy))
        count = 1 + len(workflow) % 3
        process.outbox.call(
            "write",
            lines.workflow_created(facts.WorkflowCreated(process.next(), None, is_managed)),
        )
        for task in range(1, count + 1):
            fact = facts.TaskAdded(process.next(), task)
            process.outbox.call("write", lines.task_added(fact, "step", "default", PADDING))
        self.books.constructed[workflow] += 1
        first = FIRST_MANAGED if policy == "managed" else 1
        tasks = tuple(range(first, first + count))
        process.made.append((workflow, policy, is_managed, tasks))
        if not is_managed:
            self.books.created.add(workflow)
            self.books.added |= {(workflow, task) for task in tasks}

    @rule(pick=PICK)
    def begin_with_opentelemetry(self, pick):
        self.workflows += 1
        self._begin(self._process(pick), f"w{self.workflows}", "otel", False, (1, 2, 3))

    @precondition(lambda self: any(one.made for one in self.processes))
    @rule(pick=PICK, which=PICK)
    def begin(self, pick, which):
        able = [one for one in self.processes if one.made]
        process = able[pick % len(able)]
        if self._has_ended_elsewhere(process.made[which % len(process.made)][0], process):
            return
        made = process.made.pop(which % len(process.made))
        self._begin(process, made[0], made[1], made[2], made[3])

    def _begin(self, process, workflow, policy, is_managed, tasks):
        number, books = process.next(), self.books
        is_otel = policy == "otel"
        plan = tuple(facts.PlannedTask(one, "step", "default") for one in tasks)
        began = books.tick()
        fact = facts.RunBegan(
            number, 10**18 + began, None, is_managed and not is_otel, "sequential", is_managed,
            plan, None,
        )  # fmt: skip
        extra = f',"up":{began}'
        if is_otel:
            flag = "true" if is_managed else "false"
            extra += f',"again":{flag},"known":{flag},"title":"w","trace_id":"t"'
        lines = RunLines(workflow, number, dict.fromkeys(self.to, policy))
        process.outbox.call("write", lines.run_began(fact, extra))
        run = Run(workflow, process.number, process.outbox.log, number, policy, tasks, began)
        run.words[None] = [(number, began, "In progress")]
        run.lines = lines
        books.runs.append(run)
        if is_otel:
            books.created.add(workflow)
        else:
            books.added |= {(workflow, task) for task in tasks}

    def _ended(self):
        """The workflows that nobody runs, and that somebody may run again, whoever it is."""
        live = {run.workflow for run in self._live()}
        last = {run.workflow: run for run in self.books.runs if run.workflow not in live}
        return list(last.items())

    def _has_ended_elsewhere(self, workflow, process):
        """Whether another living process may have the end of a run left to say.

        Only while both go on is there a promise for such: docs/understand/guarantees.md.
        """
        living = {one.number for one in self.processes} - {process.number}
        return any(
            run.workflow == workflow and not run.is_open and run.process in living
            for run in self.books.runs
        )

    def _process_of(self, run):
        return next(one for one in self.processes if one.number == run.process)

    def _live(self):
        return [run for run in self.books.runs if run.is_open]

    @precondition(lambda self: self._live())
    @rule(pick=PICK, which=TASKS, step=st.sampled_from(["retry", "end", "end", "restore"]))
    def task(self, pick, which, step):
        run = self._live()[pick % len(self._live())]
        self._step(run, run.tasks[which % len(run.tasks)], step)

    def _step(self, run, task, step):
        process, status = self._process_of(run), run.status.get(task)
        now, n = self.books.tick(), process.next()
        if status in ENDS:
            return
        line, status = line_of(run.lines, task, step, status, n, now)
        process.outbox.call("write", line)
        run.status[task] = status
        run.words.setdefault(task, []).append((n, now, status))
        if run.policy == "otel":
            self.books.added.add((run.workflow, task))

    @precondition(lambda self: self._innermost())
    @rule(pick=PICK)
    def end(self, pick):
        """A run ends: each task that it opened is ended before."""
        runs = self._innermost()
        run = runs[pick % len(runs)]
        for task, status in list(run.status.items()):
            if status not in ENDS:
                self._step(run, task, "end")
        process, now = self._process_of(run), self.books.tick()
        n, status = process.next(), "Completed" if now % 3 else "Failed"
        duration = (now - run.began) / 1e9
        fact = facts.RunEnded(n, run.number, 10**18 + now, duration, status)
        process.outbox.call("write", run.lines.run_ended(fact))
        run.words[None].append((n, now, status))
        run.over = now

    def _innermost(self):
        """The runs under way within which no other of the same process goes on."""
        live = self._live()
        return [
            run for run in live
            if not any(
                one.log == run.log and one.workflow == run.workflow and one.began > run.began
                for one in live
            )
        ]  # fmt: skip

    # What relays do.

    @rule(pick=PICK, time_passes=st.booleans())
    def care(self, pick, time_passes):
        self._process(pick).outbox.call("care", time_passes)

    @rule(pick=PICK, limit=st.integers(1, 5), in_bulk=st.booleans())
    def claim(self, pick, limit, in_bulk):
        self._claim(self._process(pick), limit, in_bulk)

    @rule(
        pick=PICK,
        in_bulk=st.booleans(),
        outcomes=st.lists(OUTCOMES, min_size=9, max_size=9),
        rounds=st.integers(1, 4),
    )
    def deliver(self, pick, in_bulk, outcomes, rounds):
        """A relay works for a while."""
        process = self._process(pick)
        for count in range(rounds):
            self._claim(process, 4, in_bulk)
            for index, group in enumerate(process.under_way):
                rotated = outcomes[index + count :] + outcomes
                self._tell(process, group, self._answers(group, rotated))
            process.under_way = []

    def _claim(self, process, limit, in_bulk):
        process.outbox.call("care", False)
        claimed = process.outbox.call("claim", limit + in_bulk, in_bulk)
        groups = [claimed] if in_bulk else [[one] for one in claimed]
        busy = {_lane(one) for group in process.under_way for one in group}
        for group in groups:
            assert not busy & {_lane(one) for one in group}, "two messages of a record at a time"
        process.under_way += [group for group in groups if group]

    @precondition(lambda self: any(one.under_way for one in self.processes))
    @rule(pick=PICK, which=PICK, outcomes=st.lists(OUTCOMES, min_size=6, max_size=6), cut=PICK)
    def settle(self, pick, which, outcomes, cut):
        busy = [one for one in self.processes if one.under_way]
        process = busy[pick % len(busy)]
        group = process.under_way.pop(which % len(process.under_way))
        if len(group) > 1 and cut % 4 == 0:
            self._cut(group, cut >> 2)
            self._tell(process, group, [TryLater("cut")] * len(group))
        elif cut % 4 == 1:  # it was handed over, and did not begin
            self._tell(process, group, [NotSent()] * len(group))
        else:
            self._tell(process, group, self._answers(group, outcomes))

    def _answers(self, group, outcomes):
        """What the server answers to each: of a bulk it leaves out what follows from a fault."""
        answers, stopped = [], set()
        for (_, message, server_id), outcome in zip(group, outcomes * 20, strict=False):
            if {(message.workflow, None), (message.workflow, message.task)} & stopped:
                answers.append(NotSent())
                continue
            found = self._given(answers, group, message) or server_id
            answers.append(self.books.call(message, found, outcome))
            if not isinstance(answers[-1], Delivered):
                stopped.add((message.workflow, message.task))
        return answers

    @staticmethod
    def _given(answers, group, message):
        """The id from within the same bulk: there a task is named by its number."""
        for answer, (_, other, _) in zip(answers, group, strict=False):
            if (other.workflow, other.task) == (message.workflow, message.task):
                return getattr(answer, "server_id", None)
        return None

    def _tell(self, process, group, answers):
        """A process hears what became of its messages."""
        self.refused |= {
            message.id
            for (_, message, _), answer in zip(group, answers, strict=True)
            if isinstance(answer, Refused)
        }
        process.outbox.call("settle", [number for number, _, _ in group], answers)

    def _cut(self, group, count):
        """The connection is cut: the first ones had their effect."""
        self._answers(group[:count], ["lost"])

    # What has to hold.

    @invariant()
    def counts_add_up(self):
        self.steps_since_death += 1
        for process in self.processes:
            under_way = {_lane(one) for group in process.under_way for one in group}
            assert not process.outbox.log or process.outbox.pending >= len(under_way)

    def teardown(self):
        try:
            for process in self.processes:
                self._die(process, 0)
                process.outbox.dies()
            self._deliver_all()
            self.books.check_all_arrived()
            self._check_dead_letters()
            left = [one for one in (self.folder / files.FOLDER).glob("*") if one.suffix != ".lock"]
            assert not left, "files were left"
        finally:
            for process in self.processes:
                process.outbox._connection.close()
            shutil.rmtree(self.folder)

    def _deliver_all(self):
        self.started += 1
        last = Process(self.started, NAME)
        for _ in range(3):
            last.outbox.call("care", True)
            self._claim(last, 9, False)
            while last.under_way:
                group = last.under_way.pop(0)
                self._tell(last, group, self._answers(group, ["taken"]))
                self._claim(last, 9, False)
        last.outbox.call("care", True)
        assert last.outbox.pending == 0, "something was left behind"
        last.outbox.call("close")
        last.outbox.dies()

    def _check_dead_letters(self):
        letters = {one.message.id: one for one in dead_letters.all_letters()}
        # What was refused as its process died was not heard: it is repeated, or void by then.
        for key in self.refused:
            refused = self.books.dead[key]
            assert (letters[key].status, letters[key].reason) == (422, refused.reason)
            assert letters[key].destination == NAME
        for key in letters.keys() - self.books.dead.keys():
            assert letters[key].message.kind is Kind.TASK_PATCH
            assert "its POST was refused" in letters[key].reason
        (self.folder / files.FOLDER / dead_letters.FILE).unlink(missing_ok=True)


def _lane(one):
    _, message, _ = one
    return message.workflow, message.task, message.run


def _machine(examples, steps, derandomize):
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            derandomize=derandomize, database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to shrink takes minutes: add Phase.shrink
        ),
    )  # fmt: skip


def test_no_history_leaves_a_wrong_record(monkeypatch, tmp_path):
    """Whatever processes do, each record ends as it has to; the same histories each time."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))  # to be put back afterwards
    _machine(10, 40, derandomize=True)


@pytest.mark.slow
def test_no_history_of_many_leaves_a_wrong_record(monkeypatch, tmp_path):
    """The same with others each time."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    _machine(60, 40, derandomize=False)


def test_what_is_gone_is_not_claimed(monkeypatch, tmp_path):
    """A history that left a file of claims on a log which another process had deleted."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.start_process()
    state.start_process()
    state.begin_with_opentelemetry(pick=183)
    state.task(pick=403, step="retry", which=2)
    state.ends(effects=7, how="fork", pick=327)
    state.construct_again(pick=20, which=252)
    outcomes = ["taken", "taken", "taken", "taken", "instead", "refused", "lost", "taken", "taken"]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=300, rounds=1)
    state.claim(in_bulk=False, limit=2, pick=5)
    outcomes = ["taken", "away", "later", "lost", "taken", "taken", "taken", "later", "taken"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=313, rounds=1)
    state.care(pick=183, time_passes=True)
    state.teardown()


def test_an_end_that_was_void_stays_so(monkeypatch, tmp_path):
    """A history that told the end of a dead run once the log of the later run was gone."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.construct(pick=285, policy="managed")
    state.begin(pick=252, which=68)
    state.begin_with_opentelemetry(pick=458)
    state.ends(effects=384, how="close", pick=999)
    state.construct_again(pick=384, which=471)
    state.ends(effects=713, how="crash", pick=430)
    outcomes = ["taken", "taken", "lost", "taken", "taken", "taken", "taken", "refused", "taken"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=358, rounds=3)
    state.ends(effects=236, how="close", pick=236)
    state.teardown()


def test_an_end_that_was_void_stays_so_while_more_of_its_log_is_left(monkeypatch, tmp_path):
    """A history that told such an end after all: tasks of a run that never began were left."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.construct(pick=136, policy="managed")
    state.begin(pick=49, which=177)
    state.end(pick=1000)
    state.construct_again(pick=844, which=1000)
    state.ends(effects=563, how="crash", pick=69)
    state.construct_again(pick=405, which=518)
    state.begin(pick=1000, which=0)
    state.task(pick=422, step="end", which=2)
    state.task(pick=260, step="restore", which=1)
    state.ends(effects=0, how="fork", pick=0)
    outcomes = ["taken", "taken", "instead", "taken", "taken", "taken", "later", "instead", "later"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=0, rounds=4)
    outcomes = ["lost", "lost", "taken", "taken", "later", "refused", "instead", "taken", "lost"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=778, rounds=4)
    state.teardown()


def test_what_is_gone_is_not_said_to_be_done(monkeypatch, tmp_path):
    """A history that left a file of receipts on a log which another process had deleted."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.begin_with_opentelemetry(pick=1000)
    state.start_process()
    state.care(pick=0, time_passes=True)
    state.end(pick=929)
    state.ends(effects=439, how="fork", pick=1000)
    state.deliver(
        in_bulk=False,
        outcomes=[
            "later",
            "refused",
            "later",
            "away",
            "instead",
            "instead",
            "taken",
            "instead",
            "lost",
        ],
        pick=815,
        rounds=4,
    )
    state.construct_again(pick=0, which=0)
    state.construct_within(here=False, pick=945, which=282)
    state.care(pick=0, time_passes=False)
    state.ends(effects=1000, how="close", pick=824)
    state.construct(pick=576, policy="managed")
    state.task(pick=215, step="restore", which=2)
    state.deliver(
        in_bulk=True,
        outcomes=[
            "taken",
            "taken",
            "taken",
            "lost",
            "taken",
            "refused",
            "instead",
            "instead",
            "taken",
        ],
        pick=362,
        rounds=3,
    )
    state.construct(pick=1000, policy="default")
    state.ends(effects=79, how="close", pick=0)
    state.start_process()
    state.claim(in_bulk=False, limit=2, pick=1000)
    state.teardown()


def test_a_close_hands_on_what_the_files_know_that_it_lets_go(monkeypatch, tmp_path):
    """A history in which a task was changed whose POST had been refused: its file had gone."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.begin_with_opentelemetry(pick=96)
    state.end(pick=1000)
    state.construct_again(pick=554, which=870)
    state.start_process()
    state.construct(pick=0, policy="managed")
    state.task(pick=242, step="restore", which=1)
    state.deliver(
        in_bulk=False,
        outcomes=["taken", "lost", "refused", "away", "taken", "taken", "lost", "taken", "refused"],
        pick=0,
        rounds=2,
    )
    state.ends(effects=69, how="crash", pick=467)
    state.claim(in_bulk=False, limit=5, pick=510)
    state.settle(
        cut=218,
        outcomes=["taken", "taken", "instead", "lost", "taken", "instead"],
        pick=53,
        which=130,
    )
    state.construct_within(here=False, pick=1000, which=1000)
    state.begin(pick=647, which=360)
    state.start_process()
    state.start_process()
    state.construct_within(here=True, pick=260, which=170)
    state.end(pick=241)
    state.end(pick=422)
    state.end(pick=1000)
    state.ends(effects=1000, how="crash", pick=4)
    state.deliver(
        in_bulk=True,
        outcomes=["taken", "taken", "later", "lost", "lost", "away", "instead", "later", "refused"],
        pick=1000,
        rounds=1,
    )
    state.deliver(
        in_bulk=True,
        outcomes=[
            "refused",
            "instead",
            "taken",
            "instead",
            "taken",
            "instead",
            "taken",
            "taken",
            "taken",
        ],
        pick=1000,
        rounds=1,
    )
    state.start_process()
    state.construct(pick=176, policy="default")
    state.construct_again(pick=432, which=0)
    state.deliver(
        in_bulk=False,
        outcomes=[
            "instead",
            "taken",
            "instead",
            "lost",
            "refused",
            "taken",
            "instead",
            "taken",
            "taken",
        ],
        pick=0,
        rounds=4,
    )
    state.deliver(
        in_bulk=True,
        outcomes=[
            "instead",
            "instead",
            "lost",
            "instead",
            "taken",
            "lost",
            "taken",
            "taken",
            "away",
        ],
        pick=717,
        rounds=1,
    )
    state.begin(pick=0, which=1000)
    state.end(pick=0)
    state.deliver(
        in_bulk=True,
        outcomes=[
            "instead",
            "lost",
            "instead",
            "refused",
            "refused",
            "away",
            "taken",
            "instead",
            "taken",
        ],
        pick=771,
        rounds=1,
    )
    state.task(pick=706, step="end", which=0)
    state.deliver(
        in_bulk=False,
        outcomes=[
            "taken",
            "taken",
            "taken",
            "instead",
            "taken",
            "taken",
            "taken",
            "instead",
            "lost",
        ],
        pick=672,
        rounds=1,
    )
    state.ends(effects=0, how="close", pick=231)
    state.teardown()


def test_what_follows_a_refused_task_is_not_left_behind(monkeypatch, tmp_path):
    """A history in which a run that only spoke of a refused task held up the next for ever."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.construct(pick=766, policy="default")
    outcomes = [
        "taken",
        "instead",
        "refused",
        "taken",
        "taken",
        "taken",
        "instead",
        "away",
        "taken",
    ]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=196, rounds=3)
    state.begin_with_opentelemetry(pick=985)
    state.begin(pick=673, which=1)
    state.end(pick=70)
    state.task(pick=352, step="retry", which=1)
    state.construct(pick=654, policy="default")
    state.end(pick=226)
    state.construct_again(pick=657, which=197)
    state.begin(pick=496, which=174)
    state.begin(pick=0, which=766)
    state.teardown()


def test_a_workflow_that_waits_for_a_call_is_taken_over_once(monkeypatch, tmp_path):
    """A history in which two looks found one log, and the end of its run was taken for said."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.construct(pick=200, policy="managed")
    state.begin_with_opentelemetry(pick=1000)
    state.end(pick=624)
    state.construct_again(pick=648, which=304)
    state.begin(pick=790, which=0)
    state.construct(pick=491, policy="default")
    state.begin(pick=425, which=497)
    outcomes = ["away", "taken", "taken", "lost", "taken", "later", "taken", "lost", "taken"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=1000, rounds=4)
    state.begin_with_opentelemetry(pick=1000)
    state.ends(effects=1000, how="crash", pick=404)
    state.construct(pick=0, policy="default")
    state.construct(pick=751, policy="default")
    state.claim(in_bulk=False, limit=5, pick=666)
    state.start_process()
    state.construct_again(pick=0, which=1000)
    state.begin_with_opentelemetry(pick=729)
    outcomes = ["taken", "instead", "instead", "refused", *["taken"] * 5]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=403, rounds=1)
    state.ends(effects=928, how="close", pick=597)
    state.deliver(in_bulk=False, outcomes=outcomes, pick=325, rounds=3)
    state.care(pick=361, time_passes=True)
    state.construct_again(pick=703, which=910)
    state.torn_or_damaged(pick=691, whole=False)
    state.ends(effects=764, how="fork", pick=558)
    state.care(pick=65, time_passes=False)
    state.teardown()


def test_what_is_under_way_is_not_left_to_another(monkeypatch, tmp_path):
    """A history in which a process forgot a message that it was about to be told of."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.begin_with_opentelemetry(pick=473)
    state.construct_within(here=True, pick=949, which=382)
    state.start_process()
    state.ends(effects=1000, how="fork", pick=520)
    state.claim(in_bulk=False, limit=4, pick=688)
    state.construct_again(pick=485, which=750)
    state.care(pick=1, time_passes=True)
    state.care(pick=0, time_passes=True)
    state.counts_add_up()
    state.teardown()


def test_the_end_of_a_run_says_that_its_tasks_owe_nothing(monkeypatch, tmp_path):
    """A history in which a refused task was changed: who knew of that was gone from the log."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.begin_with_opentelemetry(pick=126)
    state.end(pick=1000)
    outcomes = [
        "taken",
        "taken",
        "taken",
        "refused",
        "refused",
        "away",
        "refused",
        "refused",
        "refused",
    ]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=1000, rounds=4)
    state.construct(pick=0, policy="managed")
    state.begin(pick=1000, which=588)
    state.task(pick=117, step="end", which=1)
    state.construct(pick=1000, policy="default")
    state.claim(in_bulk=False, limit=5, pick=24)
    state.construct(pick=713, policy="default")
    state.care(pick=81, time_passes=True)
    state.construct(pick=265, policy="default")
    state.claim(in_bulk=True, limit=2, pick=1000)
    outcomes = ["away", "taken", "taken", "taken", "away", "taken", "instead", "instead", "refused"]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=712, rounds=1)
    state.construct_again(pick=851, which=280)
    outcomes = [
        "instead",
        "instead",
        "instead",
        "taken",
        "instead",
        "away",
        "taken",
        "later",
        "instead",
    ]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=20, rounds=4)
    outcomes = ["refused", "lost", "instead", "lost", "taken", "later", "instead", "taken", "later"]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=201, rounds=1)
    state.end(pick=372)
    outcomes = [
        "lost",
        "taken",
        "instead",
        "instead",
        "instead",
        "taken",
        "refused",
        "instead",
        "later",
    ]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=165, rounds=3)
    state.teardown()


def test_what_comes_back_is_read_anew(monkeypatch, tmp_path):
    """A history that another process had gone on with, and that was repeated when it came back."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.start_process()
    state.start_process()
    state.begin_with_opentelemetry(pick=194)
    state.begin_with_opentelemetry(pick=389)
    state.task(pick=399, step="end", which=2)
    state.ends(effects=1000, how="crash", pick=110)
    outcomes = ["taken", "taken", "taken", "taken", "taken", "later", "later", "taken", "taken"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=142, rounds=1)
    state.construct_again(pick=0, which=1000)
    state.claim(in_bulk=True, limit=2, pick=654)
    state.construct_again(pick=957, which=1000)
    state.ends(effects=76, how="fork", pick=902)
    state.claim(in_bulk=True, limit=5, pick=0)
    outcomes = ["taken", "lost", "later", "taken", "taken", "taken"]
    state.settle(cut=106, outcomes=outcomes, pick=33, which=91)
    state.construct_within(here=False, pick=0, which=0)
    outcomes = ["instead", "later", "taken", "lost", "lost", "lost", "away", "taken", "taken"]
    state.deliver(in_bulk=True, outcomes=outcomes, pick=283, rounds=4)
    outcomes = ["instead", "later", "away", "taken", "taken", "instead", "taken", "taken", "lost"]
    state.deliver(in_bulk=False, outcomes=outcomes, pick=128, rounds=4)
    state.teardown()


def test_two_who_run_one_workflow_may_tell_of_an_earlier_run_late(monkeypatch, tmp_path):
    """A history of two living processes with one id: the later one tells what was left before.

    The record is right once the last of their runs has ended.
    """
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    state = Histories()
    state.construct(pick=873, policy="managed")
    state.start_process()
    state.begin(pick=0, which=550)
    state.end(pick=762)
    state.begin_with_opentelemetry(pick=0)
    state.ends(effects=112, how="close", pick=404)
    state.construct_again(pick=617, which=0)
    state.construct_again(pick=1000, which=0)
    state.start_process()
    state.begin(pick=278, which=1000)
    state.begin(pick=415, which=653)
    state.care(pick=0, time_passes=True)
    state.claim(in_bulk=True, limit=1, pick=0)
    state.claim(in_bulk=False, limit=4, pick=967)
    state.deliver(
        in_bulk=True,
        outcomes=["lost", "taken", "instead", "lost", "lost", "taken", "instead", "taken", "lost"],
        pick=0,
        rounds=4,
    )
    state.ends(effects=195, how="fork", pick=802)
    state.teardown()


@pytest.mark.slow
def test_no_history_drawn_evenly_leaves_a_wrong_record(monkeypatch, tmp_path):
    """Each rule is as likely as each other one, which finds what Hypothesis does not."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    for seed in range(40):
        run_at_random(Histories, seed, 60)


@pytest.mark.soak
def test_no_long_history_leaves_a_wrong_record(monkeypatch, tmp_path):
    """The same, with more histories: 10,000 each way, or DOTFLOW_TEST_HISTORIES."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    count = int(os.environ.get("DOTFLOW_TEST_HISTORIES", "10000"))
    for _ in range(count):
        run_at_random(Histories, random.randrange(10**9), 60)
    _machine(count, 60, derandomize=False)
