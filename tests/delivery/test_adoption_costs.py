"""What it costs to take over, and to count, what many runs have left."""

from __future__ import annotations

import os

import pytest
from support.processes import dies
from support.reading import bytes_read, needs_counters
from support.written import NAME, WrittenRun, drain

from dotflow.delivery.outbox import Outbox
from dotflow.delivery.survey import survey
from dotflow.runlog import files
from dotflow.runlog.writer import RunLog

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    needs_counters,
]

WORKFLOWS = 150


@pytest.fixture
def left():
    """The bytes of what a dead process left: each of its runs is said up to its middle."""

    def work(_):
        outbox = Outbox(NAME)
        for number in range(WORKFLOWS):
            WrittenRun(f"w{number}").created().added(1).began(1).task_began(1)
        drain(outbox)

    dies(work)
    return sum(path.stat().st_size for path in files.folder().iterdir())


def test_what_was_left_is_counted_by_reading_it_a_few_times(left):
    """Receipts are not read once more for each workflow."""
    before = bytes_read()
    [found] = survey()
    assert bytes_read() - before < 6 * left
    assert found.pending == 2 * WORKFLOWS


def test_what_was_left_is_taken_over_by_reading_it_a_few_times(left):
    """The same, where it is delivered."""
    outbox = Outbox(NAME, RunLog())
    before = bytes_read()
    outbox.care(at_once=True)
    assert bytes_read() - before < 6 * left
    assert len(drain(outbox)) == 2 * WORKFLOWS
    outbox.close()
    assert not files.logs()
