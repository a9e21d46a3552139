"""What waits in memory, and what is sent, while spans come one upon another."""

from __future__ import annotations

import pytest

from dotflow.otel.export.leaving import queue as leaving
from dotflow.otel.export.leaving.batch import OtlpProcessor
from dotflow.otel.export.leaving.rhythm import BURST_BATCH, POLL, QUIET
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.otlp.exports import MEMORY_QUEUE_SIZE, QUEUE_SIZE, SpanCounts
from dotflow.process.pace import LONGEST
from dotflow.runlog.writer import run_log

A_LOOK = 100
"""Spans between two looks: so many come fast."""


class Clock:
    """The time that the processor's thread sees."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def thread_time(self):
        return 0.0


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(leaving, "time", made)
    return made


@pytest.fixture
def processor(monkeypatch, otlp, clock):
    """One whose thread the test is; and how many spans it was about to send, each time."""
    monkeypatch.setattr(OtlpProcessor, "_start", lambda _self: None)
    made = OtlpProcessor(OtlpSettings(otlp.http_url), SpanCounts())
    made.exports = []
    made._export = made.exports.append
    made._see_to_others = lambda _now: None
    yield made
    made._queue.clear()
    made._log.owed.clear()
    made.end()


def look(processor, clock, new):
    """So many spans come, and the thread looks; how long it rests then."""
    clock.now += POLL
    processor._queue.extend([None] * new)
    return processor._step()


def test_while_spans_come_fast_few_are_sent_at_a_time(processor, clock):
    """Nothing for a moment, then small batches, in turns."""
    looks = int(QUIET / POLL)
    for _ in range(looks):
        assert look(processor, clock, A_LOOK) == POLL
    assert processor.exports == []
    for _ in range(5):
        assert look(processor, clock, A_LOOK) == POLL
    assert set(processor.exports) == {BURST_BATCH}


def test_when_no_more_come_all_that_wait_are_sent(processor, clock):
    """Whole batches, one after the other."""
    for _ in range(8):
        look(processor, clock, A_LOOK)
    look(processor, clock, 0)
    assert processor.exports == [processor._batch]


def test_what_was_sent_does_not_hide_what_came_meanwhile(processor, clock):
    """A batch takes long on a busy machine: the spans of that time were made fast, too."""
    for _ in range(8):
        look(processor, clock, A_LOOK)

    def export(most):
        processor.exports.append(most)
        for _ in range(most):
            processor._queue.popleft()
        processor._queue.extend([None] * 300)
        clock.now += 0.3

    processor._export = export
    look(processor, clock, 0)
    for _ in range(5):
        look(processor, clock, A_LOOK)
    assert processor.exports == [processor._batch]


def test_what_finds_no_room_is_still_seen_to_come(processor, clock):
    """A queue that is full does not grow; what waits in the log does."""
    for _ in range(8):
        look(processor, clock, A_LOOK)
    for _ in range(4):
        processor._log.owed.extend([(1, 1)] * A_LOOK)
        assert look(processor, clock, 0) == POLL
    assert processor.exports == []


def test_a_program_that_never_pauses_is_seen_all_the_same(processor, clock):
    """After half a minute spans are sent as they come."""
    for _ in range(int((LONGEST + 1) / POLL)):
        look(processor, clock, A_LOOK)
    assert processor.exports[-20:] == [processor._batch] * 20


def test_slow_spans_are_sent_as_the_sdk_would(processor, clock):
    """One a look: a batch when the schedule says so."""
    for _ in range(int(processor._delay / POLL) + 10):
        look(processor, clock, 1)
    assert processor.exports == [processor._batch]


def test_without_a_disk_none_waits_for_want_of_room(processor, clock, monkeypatch):
    """What finds no room would be lost: a batch is sent at once, without a rest."""
    monkeypatch.setattr(type(run_log), "is_durable", False)
    few = MEMORY_QUEUE_SIZE // 4
    assert look(processor, clock, few) == POLL
    assert look(processor, clock, 1) == 0.0
    assert processor.exports == [processor._batch]


@pytest.mark.parametrize(
    ("is_durable", "kept", "owed", "lost"),
    [(True, QUEUE_SIZE, 10, 0), (False, QUEUE_SIZE + 10, 0, 0)],
)
def test_a_full_queue_takes_more_only_without_a_disk(
    processor, monkeypatch, is_durable, kept, owed, lost
):
    """With one they wait in the run log."""
    monkeypatch.setattr(type(run_log), "is_durable", is_durable)
    processor._is_idle = False
    for n in range(QUEUE_SIZE + 10):
        processor.put(None, n, n)
    found = len(processor._queue), len(processor._log.owed), processor.counts.failed
    assert found == (kept, owed, lost)
