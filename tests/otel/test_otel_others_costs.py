"""What it costs to look at the logs of other processes."""

from __future__ import annotations

import os
import signal

import pytest
from support.processes import Doomed, dies
from support.reading import bytes_read, needs_counters

from dotflow.otel.export.leaving.others import OtherLogs
from dotflow.otel.export.otlp.endpoint import TRACES
from dotflow.runlog import files, leftovers
from dotflow.runlog.writer import run_log

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    needs_counters,
]

KEY = files.reader_key("an endpoint")
LINES = 500


@pytest.fixture(autouse=True)
def own_log():
    """A log that others see, of this process."""
    run_log.read_by(KEY, "an endpoint")
    assert run_log.claimant()
    yield
    run_log.leave(KEY)


def write(_=None):
    """Lines as those of spans."""
    run_log.read_by(KEY, "an endpoint")
    line = f'{{"f":"span","n":1,"said":"{"x" * 100}","w":"w","r":0,"to":{{"{KEY}":"spans"}}}}\n'
    for _ in range(LINES):
        run_log.append(line.encode())


def held(work):
    """A process that works, and lives on until it is killed."""

    def live(say):
        work()
        say()
        signal.pause()

    one = Doomed(live)
    one.comes_to(1)
    return one


def read_by_look(others, has_children):
    before = bytes_read()
    others.look(has_children)
    return bytes_read() - before


def test_what_another_process_sends_is_not_read():
    """A dead log is read by the one that has it; and by this process, once that is dead."""
    dies(write)
    sender = held(lambda: OtherLogs(KEY, TRACES).look(has_children=False))
    others = OtherLogs(KEY, TRACES)
    assert read_by_look(others, has_children=False) < 50 * LINES
    assert not leftovers.are_there(KEY)
    assert not others._logs
    sender.dies(1)
    assert leftovers.are_there(KEY)
    assert read_by_look(others, has_children=False) > 100 * LINES
    assert others._logs
    others.close()


def test_a_neighbour_that_is_no_child_is_not_asked_each_time(monkeypatch):
    """Children are looked for twice a second; other processes, whether they live, each three."""
    neighbour = held(write)
    monkeypatch.setattr("dotflow.otel.export.leaving.others.LOOK_EVERY", 3600.0)
    others = OtherLogs(KEY, TRACES)
    assert read_by_look(others, has_children=True) > 4096
    assert read_by_look(others, has_children=True) < 1024
    neighbour.dies(1)
    others.close()
