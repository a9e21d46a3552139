"""When a reader of the log leaves the interpreter to the work."""

from __future__ import annotations

import time

from support.reports import Reports, put_run
from support.runs import in_order

from dotflow.delivery.relay import worker as worker_module
from dotflow.process import pace


def test_a_burst_without_end_is_sent_all_the_same(api, relays):
    """A run that reports without a pause is seen at the server while it goes on."""
    relay = relays(api)
    run = Reports(relay).created().added(1).began(1)
    deadline = time.monotonic() + 60
    while not api.tasks and time.monotonic() < deadline:
        run.task_began(1)  # over and over
    assert api.tasks


def test_in_a_burst_few_calls_are_made(api, relays, monkeypatch):
    """While reports come fast the sender makes a call every now and then."""
    monkeypatch.setattr(pace, "FAST", 0.001)  # who reports may be off the processor
    relay = relays(api)
    run = Reports(relay).created().added(*range(1, 200)).began(199)
    began = time.monotonic()
    while time.monotonic() < began + 0.5:
        run.task_began(1)
    assert len(api.seen) <= 30 * (time.monotonic() - began)


def test_who_waits_for_the_delivery_is_not_kept_waiting(api, relays, monkeypatch):
    """A flush in a burst sends at once."""
    monkeypatch.setattr(pace, "FAST", 0.0)
    monkeypatch.setattr(worker_module, "REST", 60.0)
    relay = relays(api)
    put_run(relay, tasks=20)
    assert relay.flush(60).pending == 0
    assert in_order(api.history["w"])
    assert api.seen[-1].at - api.seen[0].at < 30
