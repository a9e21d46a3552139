"""How much of what waits is in memory: the same, however much waits, and whatever for."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from support.written import NAME, WrittenRun

from dotflow.delivery.fold.references import MOST_BYTES, References
from dotflow.delivery.message import Delivered, TryLater
from dotflow.delivery.order import room
from dotflow.delivery.outbox import Outbox
from dotflow.runlog import lines
from dotflow.runlog.reader import SIZE
from dotflow.runlog.writer import RunLog

TASKS = 50
SLICE = 200
"""More records than a slice of the log has here."""


@pytest.fixture
def log():
    log = RunLog()
    yield log
    log.close()


@pytest.fixture
def outbox(log):
    outbox = Outbox(NAME, log)
    yield outbox
    outbox.close()


def report(log, name, tasks=TASKS, policy="otel", current="null"):
    """A run that has ended."""
    run = WrittenRun(name, policy, log).began(*range(tasks))
    for task in range(tasks):
        run.task_began(task).task_ended(task, current=current)
    run.ended()


def held(outbox):
    return sum(len(unit.owing) for unit in outbox.lanes)


def deliver(outbox):
    """Deliver all; the most records that were held at a time."""
    most = 0
    while True:
        outbox.read()
        most = max(most, held(outbox))
        flights = outbox.claim_bulk(200, 2**22)
        if not flights:
            return most
        outbox.settle(flights, [Delivered()] * len(flights))


def test_a_backlog_stays_on_disk(outbox, log):
    """Of many runs that wait some are in memory; all are delivered, one after the other."""
    for number in range(20):
        report(log, f"w{number}")
    assert outbox.read()
    assert room.READY <= held(outbox) < room.READY + SLICE
    assert deliver(outbox) < room.READY + SLICE
    assert outbox.counts().delivered == 20 * (2 * TASKS + 2)
    assert not outbox.counts().pending


def test_a_large_backlog_stays_on_disk(outbox, log):
    """Results of half a megabyte are held up to a few megabytes, not up to so many results."""
    result = json.dumps("x" * 2**19)
    for number in range(2):
        report(log, f"w{number}", 20, current=result)
    tracemalloc.start()
    try:
        outbox.read()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 2 * room.READY_BYTES
    assert room.READY_BYTES <= sum(unit.size for unit in outbox.lanes) < 2 * room.READY_BYTES
    deliver(outbox)
    assert outbox.counts().delivered == 2 * (2 * 20 + 2)
    assert not outbox.counts().pending


def test_a_workflow_that_waits_holds_up_no_other(outbox, log):
    """A run that the server does not take for now does not keep those behind it from being read."""
    report(log, "stuck", room.READY + SLICE)
    outbox.read()
    [first] = outbox.claim(1)
    outbox.settle([first], [TryLater("500", after=600)])
    report(log, "behind")
    deliver(outbox)
    assert {unit.source.workflow for unit in outbox.lanes} == {"stuck"}
    assert outbox.counts().delivered == 2 * TASKS + 2


def test_a_workflow_that_waits_does_not_take_all_memory(outbox, log):
    """Nor is a long run that waits read to its end."""
    report(log, "stuck", room.MOST + SLICE)
    outbox.read()
    [first] = outbox.claim(1)
    outbox.settle([first], [TryLater("500", after=600)])
    assert outbox.read()
    assert room.MOST <= held(outbox) < room.MOST + SLICE


def test_a_run_within_a_run_is_read_to_its_end(outbox, log):
    """What waits for the end of another run does not keep that end from being read."""
    outer = WrittenRun("w", "otel", log).began()
    inner = [WrittenRun("w", "otel", log).began(1) for _ in range(2)]
    for task in range(room.READY + SLICE):  # of the second one, while the first one goes on
        inner[1].task_began(task).task_ended(task)
    inner[1].ended()
    inner[0].ended()
    outer.ended()
    deliver(outbox)
    assert not outbox.counts().pending


def test_few_large_results_are_kept_for_later_lines():
    """A result that later lines refer to is looked up where many large ones came since."""
    kept, size = References(), MOST_BYTES // 4
    facts = [
        {"f": lines.TASK_ENDED, "n": number, "current": number, SIZE: size}
        for number in range(1, 11)
    ]
    for fact in facts:
        kept.resolve(fact, list)
    following = [{"f": lines.TASK_BEGAN, "n": 11, lines.PREVIOUS_OF: of} for of in (7, 6, 10)]
    looked_up = []
    for fact in following:
        kept.resolve(fact, lambda: looked_up.append(1) or facts)
    assert [fact["previous"] for fact in following] == [7, 6, 10]
    assert len(looked_up) == 1
    kept.resolve({**facts[0], SIZE: 2 * MOST_BYTES}, list)
    again = {"f": lines.TASK_BEGAN, "n": 12, lines.PREVIOUS_OF: 1}
    kept.resolve(again, list)
    assert again["previous"] == 1


def test_no_task_counts_twice(outbox, log):
    """What was said of tasks that go on is not counted any more, and counts again with more."""
    run = WrittenRun("w", "otel", log).began(1, 2)
    run.task_began(1, 2)
    outbox.read()
    sizes = []
    for _ in range(2):
        [unit] = outbox.lanes
        sizes.append(unit.size)
        for _ in range(2):
            flights = outbox.claim_bulk(9, 2**20)
            outbox.settle(flights, [Delivered()] * len(flights))
        sizes.append(unit.size)
        run.task_ended(1)
        outbox.read()
    assert sizes[0] > 0
    assert sizes[1] == 0
    assert sizes[2] > sizes[0] // 2
    assert sizes[3] == 0
