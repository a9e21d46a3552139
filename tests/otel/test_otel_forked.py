"""Providers that we made, in a forked child: what it does not use costs it nothing."""

from __future__ import annotations

import os
import threading

import pytest
from opentelemetry import metrics, trace
from support.processes import succeeds
from support.signals import SignalReceiver

from dotflow import Config, DotFlow, action
from dotflow.delivery import channel
from dotflow.otel import ServerOtel
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.provider import anew
from dotflow.otel.export.provider.pipeline import Pipeline
from dotflow.process.late import is_unused
from dotflow.providers import LogDefault

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

LOCKS = (type(threading.Lock()), type(threading.RLock()))


@pytest.fixture
def signals(monkeypatch):
    with SignalReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_url)
        monkeypatch.delenv("OTEL_METRICS_EXPORTER", raising=False)
        yield receiver


@pytest.fixture
def server(signals, api):
    made = ServerOtel(api.url, "a-token-of-the-tests")
    yield made
    made.close(60)


def run(server, step, **kwargs):
    workflow = DotFlow(config=Config(server=server, log=LogDefault(level="ERROR")), name="etl")
    workflow.task.add(step)
    workflow.start(**kwargs)
    return workflow.result_storage()


@action
def one():
    return 1


def ours():
    """What a run leaves in the process."""
    relays = channel.relays()
    return [metrics.get_meter_provider(), trace.get_tracer_provider(), *relays]


def test_what_the_parent_was_about_to_end_holds_up_no_child(signals):
    """A pipeline that nobody has any more is ended by a thread, which a forked child has not."""
    pipeline = Pipeline(OtlpSettings(), set_global=False)
    go_on = threading.Event()
    pipeline._runner.begin(lambda: go_on.wait(60))
    pipeline.abandon()
    try:
        assert succeeds(lambda: pipeline.close(20))
    finally:
        go_on.set()
    assert pipeline.close(60)


def test_a_step_that_reports_nothing_leaves_all_as_it_is(server):
    """The child of a step has neither to begin meters, tracers nor delivery anew."""
    run(server, one)
    found = ours()
    assert len(found) == 3

    @action
    def step():
        return [is_unused(part) for part in found]

    assert run(server, step, mode="parallel") == [[True] * 3]
    assert not any(is_unused(part) for part in found)


def test_what_other_threads_held_is_free_in_the_child(server, signals):
    """All locks of the SDK's objects: instruments and tracers of the parent's can be used."""
    run(server, one)
    meter, tracer = metrics.get_meter("shop"), trace.get_tracer("shop")
    sold = meter.create_counter("sold")
    sold.add(1)
    providers = ours()[:2]
    parts = list(anew._parts(providers))
    locks = {
        id(value): value for part in parts for value in vars(part).values() if type(value) in LOCKS
    }
    assert len(locks) > 5
    held, done = threading.Event(), threading.Event()

    def hold():
        for lock in locks.values():
            lock.acquire()
        held.set()
        done.wait(120)
        for lock in locks.values():
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(60)

    def work():
        sold.add(2)
        meter.create_counter("returned").add(3)
        with tracer.start_as_current_span("inner") as span:
            assert span.is_recording()
        return all(provider.force_flush() for provider in providers)

    assert succeeds(work)
    done.set()
    holder.join()
    sums = [point.as_int for name, point in signals.points if name == "sold"]
    assert 2 in sums  # of the child alone: what was sold before is the parent's to tell
    assert "returned" in {name for name, _ in signals.points}
