"""Processes that report, die, fork and adopt at will: nothing is lost, doubled or reordered."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
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
from support.outbox_model import Books, Run
from support.outbox_process import OutboxProcess

from dotflow.delivery import dead_letters, state
from dotflow.delivery.message import Delivered, Instead, Kind, Refused, TryLater, new_id

NAME = "dotflow-api of the machine"
PICK = st.integers(0, 1000)
TASKS = st.integers(1, 3)


class Process:
    """One real process: its outbox, and what it has under way to the server."""

    def __init__(self, number, outbox):
        self.number = number
        self.outbox = outbox
        self.claimed = []


class DurableOutbox(RuleBasedStateMachine):
    """Any number of processes on one folder, each with runs of its own."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        os.environ["DOTFLOW_STATE_DIR"] = str(self.folder)
        self.books = Books()
        self.started = 0
        self.workflows = 0
        self.processes = []
        self.start_process()

    # What processes do.

    @precondition(lambda self: len(self.processes) < 3)
    @rule()
    def start_process(self):
        self.started += 1
        self.processes.append(Process(self.started, OutboxProcess(NAME)))

    @rule(pick=PICK, effects=PICK)
    def crash(self, pick, effects):
        process = self.processes.pop(pick % len(self.processes))
        self._die(process, effects)
        process.outbox.dies()
        if not self.processes:
            self.start_process()

    @rule(pick=PICK, effects=PICK)
    def fork_and_parent_dies(self, pick, effects):
        process = self.processes[pick % len(self.processes)]
        self._die(process, effects)
        process.outbox.forks_and_dies()
        self.started += 1
        process.number, process.claimed = self.started, []

    @rule(pick=PICK, effects=PICK)
    def close(self, pick, effects):
        process = self.processes.pop(pick % len(self.processes))
        self._die(process, effects)
        assert process.outbox.call("close") == 0
        process.outbox.dies()
        if not self.processes:
            self.start_process()

    def _die(self, process, effects):
        """What was under way may have arrived; nobody will know."""
        for index, message in enumerate(process.claimed):
            if effects >> index & 1:
                self.books.arrive(message)
        for run in self.books.runs:
            if run.process == process.number:
                run.is_dead, run.died_before = True, self.started

    # What runs do.

    @rule(pick=PICK, opening=st.sampled_from([Kind.WORKFLOW_POST, Kind.WORKFLOW_OPEN]))
    def begin(self, pick, opening):
        self.workflows += 1
        self._open(f"w{self.workflows}", self.processes[pick % len(self.processes)], opening)

    @precondition(lambda self: self._ended())
    @rule(pick=PICK, which=PICK)
    def begin_again(self, pick, which):
        ended = self._ended()
        workflow, last = ended[which % len(ended)]
        able = self._able_to_resume(last)
        self._open(workflow, able[pick % len(able)], Kind.WORKFLOW_OPEN)

    def _ended(self):
        """The workflows that nobody runs, and that somebody may run again."""
        last = {run.workflow: run for run in self.books.runs}
        return [
            (workflow, run) for workflow, run in last.items()
            if (run.is_over or run.is_dead) and self._able_to_resume(run)
        ]  # fmt: skip

    def _able_to_resume(self, run):
        """The process of it, or the youngest one, where that has started since it died."""
        if not run.is_dead:
            return [one for one in self.processes if one.number == run.process]
        *others, youngest = self.processes
        # What another living process is delivering of it, nobody can put in order with a new run.
        is_held = any(one.outbox.knows(run.workflow) for one in others)
        return [youngest] if youngest.number > run.died_before and not is_held else []

    def _open(self, workflow, process, opening):
        run = Run(workflow, process.number, opening)
        self.books.runs.append(run)
        self._put(run, opening, None, running=opening is Kind.WORKFLOW_OPEN)

    def _put(self, run, kind, task, **flags):
        [process] = [one for one in self.processes if one.number == run.process]
        assert process.outbox.call("put", self.books.make(run, kind, task, **flags))

    def _live(self):
        return [run for run in self.books.runs if not run.is_over and not run.is_dead]

    @precondition(lambda self: self._live())
    @rule(
        pick=PICK,
        task=TASKS,
        step=st.sampled_from(["update", "update", "end"]),
        running=st.booleans(),
    )
    def task(self, pick, task, step, running):
        run = self._live()[pick % len(self._live())]
        if task not in run.posted:
            run.posted.add(task)
            self._put(run, Kind.TASK_POST, task, running=running)
        elif task not in run.ended:
            run.ended |= {task} if step == "end" else set()
            self._put(run, Kind.TASK_PATCH, task, final=step == "end", running=step != "end")

    @precondition(lambda self: self._live())
    @rule(pick=PICK, final=st.booleans())
    def workflow(self, pick, final):
        run = self._live()[pick % len(self._live())]
        run.is_over = final
        self._put(run, Kind.WORKFLOW_PATCH, None, final=final, running=not final)

    # What relays do.

    @rule(pick=PICK, limit=st.integers(1, 5), time_passes=st.booleans())
    def claim(self, pick, limit, time_passes):
        self._claim(self.processes[pick % len(self.processes)], limit, time_passes)

    def _claim(self, process, limit, time_passes):
        for message in process.outbox.care_and_claim(limit, time_passes):
            lane = (message.workflow, message.task)
            under_way = [(one.workflow, one.task) for one in process.claimed]
            assert lane not in under_way, "two messages of one record at a time"
            process.claimed.append(message)

    @precondition(lambda self: any(one.claimed for one in self.processes))
    @rule(
        pick=PICK,
        which=PICK,
        outcome=st.sampled_from(
            ["taken", "taken", "taken", "refused", "later", "lost", "away", "instead"]
        ),
    )
    def settle(self, pick, which, outcome):
        busy = [one for one in self.processes if one.claimed]
        process = busy[pick % len(busy)]
        message = process.claimed.pop(which % len(process.claimed))
        self._settle(process, message, outcome)

    def _settle(self, process, message, outcome):
        outbox = process.outbox
        if outcome == "refused" and not self.books.has(message):
            self.books.refuse(message, 422, "no, thank you")
            outbox.call("settle", message, Refused(422, "no, thank you"))
        elif outcome in ("later", "lost", "away"):
            if outcome == "lost":  # it was taken, and the answer did not come
                self.books.arrive(message)
            outbox.call("settle", message, TryLater("x", everywhere=outcome == "away"))
            outbox.call("hurry")
        elif outcome == "instead" and not self.books.has(message):
            outbox.call("settle", message, Instead(replace(message, id=new_id())))
        else:
            self.books.arrive(message)
            outbox.call("settle", message, Delivered("id"))

    # What has to hold.

    @invariant()
    def counts_add_up_and_each_file_has_one_owner(self):
        files = []
        for process in self.processes:
            assert process.outbox.pending >= len(process.claimed)
            files += process.outbox.places
        assert len(files) == len(set(files))

    def teardown(self):
        try:
            self._die_all()
            self._deliver_all()
            self.books.check_all_arrived()
            self._check_dead_letters()
            assert not state.spools(NAME), "files were left"
        finally:
            shutil.rmtree(self.folder)

    def _die_all(self):
        for process in self.processes:
            self._die(process, 0)
            process.outbox.dies()

    def _deliver_all(self):
        self.started += 1
        last = Process(self.started, OutboxProcess(NAME))
        for _ in range(3):
            self._claim(last, 9, True)
            while last.claimed:
                self._settle(last, last.claimed.pop(0), "taken")
                self._claim(last, 9, False)
        assert last.outbox.call("counts").pending == 0, "something was left behind"
        last.outbox.call("close")
        last.outbox.dies()

    def _check_dead_letters(self):
        letters = {one.message.id: one for one in dead_letters.all_letters()}
        for id_, (status, reason) in self.books.dead.items():
            assert (letters[id_].status, letters[id_].reason) == (status, reason)
            assert letters[id_].destination == NAME
        for id_ in letters.keys() - self.books.dead.keys():
            message = letters[id_].message
            assert message.kind is not Kind.WORKFLOW_POST
            assert (message.workflow, message.task) in self.books.refused
        dead_letters.remove(list(letters.values()))
        assert dead_letters.all_letters() == []


def _machine(examples, steps, derandomize):
    run_state_machine_as_test(
        DurableOutbox,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            derandomize=derandomize, database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to shrink takes minutes: add Phase.shrink
        ),
    )  # fmt: skip


def test_processes_lose_double_and_reorder_nothing(monkeypatch, tmp_path):
    """Whatever processes do and however they end, each record's last word arrives, in order.

    The same histories each time; the test below looks for new ones.
    """
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))  # to be put back afterwards
    _machine(60, 40, derandomize=True)


@pytest.mark.soak
def test_processes_lose_double_and_reorder_nothing_for_long(monkeypatch, tmp_path):
    """The same, with many more histories, and longer ones."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    _machine(1000, 60, derandomize=False)
