"""What it costs to take over, and to count, what many runs have left."""

from __future__ import annotations

import os
import signal

import pytest
from support.processes import Doomed, dies
from support.reading import bytes_read, needs_counters
from support.written import NAME, WrittenRun, drain, said

from dotflow.delivery.outbox import Outbox
from dotflow.delivery.survey import survey
from dotflow.runlog import files, leftovers, reader
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


@pytest.fixture
def outbox():
    """One with a log of its own."""
    log = RunLog()
    made = Outbox(NAME, log)
    yield made
    made.close()
    log.close()


def test_what_was_left_is_counted_by_reading_it_a_few_times(left):
    """Receipts are not read once more for each workflow."""
    before = bytes_read()
    [found] = survey()
    assert bytes_read() - before < 6 * left
    assert found.pending == 2 * WORKFLOWS


def test_what_was_left_is_taken_over_by_reading_it_a_few_times(left, outbox):
    """The same, where it is delivered."""
    before = bytes_read()
    outbox.care(at_once=True)
    assert bytes_read() - before < 6 * left
    assert len(drain(outbox)) == 2 * WORKFLOWS
    outbox.close()
    assert not files.logs()


def adopting():
    """A process that takes over what there is, and sends nothing of it."""

    def work(say):
        outbox = Outbox(NAME, RunLog())
        outbox.care(at_once=True)
        say()
        signal.pause()  # until it is killed

    one = Doomed(work)
    one.comes_to(1)
    return one


def test_what_another_process_has_taken_over_is_not_read(left, outbox):
    """Neither the log nor receipts; nor does it wake anybody, as long as that process lives."""
    key = files.reader_key(NAME)
    other = adopting()
    before = bytes_read()
    outbox.care(at_once=True)
    assert not leftovers.are_there(key)
    assert bytes_read() - before < left / 4
    assert drain(outbox) == []
    other.dies(1)
    assert leftovers.are_there(key)
    outbox.care(at_once=True)
    assert len(drain(outbox)) == 2 * WORKFLOWS


def test_of_a_workflow_that_another_process_has_nothing_is_taken(outbox):
    """Also of a later log, which this process takes over else: the order holds."""
    dies(lambda _: WrittenRun("w").created().added(1).began(1).task_began(1))
    other = adopting()
    dies(lambda _: WrittenRun("w").began(1, managed=True).task_began(1))
    dies(lambda _: WrittenRun("x").created().added(1).began(1).task_began(1))
    outbox.care(at_once=True)
    assert {one.workflow for one in drain(outbox)} == {"x"}
    other.dies(1)
    outbox.care(at_once=True)
    delivered = drain(outbox)
    assert {one.workflow for one in delivered} == {"w"}
    assert said(delivered) == {("w", None): "Failed", ("w", 1): "Failed"}
    outbox.care(at_once=True)
    assert not files.logs()


def test_what_waits_for_two_destinations_is_parsed_once(monkeypatch, left):
    """Each line of the log becomes an object once, whoever is to be told of it."""
    [[path]] = files.logs().values()
    key = files.reader_key("another")  # a server that was to be told the same, and knows nothing
    text = path.read_text("utf-8").replace('"to":{', f'"to":{{"{key}":"default",')
    text += f'{{"f":"reader","key":"{key}","name":"another"}}\n'
    path.write_text(text, "utf-8")
    parsed = []
    known = reader.parse
    monkeypatch.setattr(reader, "parse", lambda line: parsed.append(line) or known(line))
    found = survey()
    assert {one.destination: one.pending for one in found} == {
        NAME: 2 * WORKFLOWS, "another": 5 * WORKFLOWS,
    }  # fmt: skip
    assert len(parsed) < 1.1 * text.count("\n")
