"""How many spans wait in memory while a program reports without a pause."""

from __future__ import annotations

import pytest

from dotflow.otel.export.batch import OtlpProcessor
from dotflow.otel.export.endpoint import OtlpSettings
from dotflow.otel.export.otlp import SpanCounts
from dotflow.otel.export.rhythm import BURST_QUEUE


@pytest.fixture
def processor(monkeypatch, otlp):
    """One whose thread the test is; and how many spans it was about to send, each time."""
    monkeypatch.setattr(OtlpProcessor, "_start", lambda _self: None)
    made = OtlpProcessor(OtlpSettings(otlp.http_url), SpanCounts())
    made.exports = []
    made._export = made.exports.append
    yield made
    made._queue.clear()
    made.end()


@pytest.mark.parametrize(
    ("waiting", "is_sent"), [(BURST_QUEUE, False), (BURST_QUEUE + 1, True), (10, False)]
)
def test_from_so_many_on_they_are_sent_in_a_burst_too(processor, waiting, is_sent):
    """Few spans wait until the burst is over; of many a batch is sent at once, without a rest."""
    processor._queue.extend([None] * waiting)
    pause = processor._step()
    assert (bool(processor.exports), pause == 0.0) == (is_sent, is_sent)


def test_a_small_queue_is_sent_when_half_of_it_is_full(processor):
    """OTEL_BSP_MAX_QUEUE_SIZE may be less than that."""
    processor.limit = 100
    processor._queue.extend([None] * 51)
    assert processor._step() == 0.0
    assert processor.exports
