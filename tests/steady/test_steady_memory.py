"""What a process holds that runs one workflow after another for days: always the same.

Objects are counted, for the memory of a process says too little: freed memory stays with it.
"""

from __future__ import annotations

import gc
from collections import Counter

import pytest

from benchmarks.running import Receivers
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.otel.spans import open_runs
from dotflow.providers import LogDefault, storage_default

pytestmark = pytest.mark.slow

KNOWN = 20
"""Of so many runs something is known after they ended, here: else a test would take minutes."""

RUNS = 40
PATIENCE = 60.0  # seconds


@action(retry=2)
def step():
    return {"rows": [1, 2, 3]}


@action
def failing():
    raise ValueError("no")


@pytest.fixture(scope="module")
def receivers():
    """In a process of their own: what they hold is no object of this one."""
    with Receivers() as found:
        yield found


@pytest.fixture
def config(receivers, monkeypatch):
    """Everything on, to servers that take all."""
    monkeypatch.setattr(open_runs, "KNOWN_ROOTS", KNOWN)
    monkeypatch.setattr(storage_default, "KEPT_WORKFLOWS", KNOWN)
    server = ServerOtel(
        f"{receivers.url}/0/bulk", "token", endpoint=receivers.url, set_global=False
    )
    yield Config(server=server, log=LogDefault(level="CRITICAL"))
    server.close(PATIENCE)


def report(config, count):
    for _ in range(count):
        flow = DotFlow(config=config, name="nightly")
        flow.task.add([step, step, failing])
        flow.start(keep_going=True)
    assert config.server.flush(PATIENCE).complete


def objects():
    """How many objects there are of each type that the collector of garbage knows.

    Of tuples it knows some that it has not looked at often enough to forget.
    """
    gc.collect()
    return Counter(repr(type(one)) for one in gc.get_objects() if type(one) is not tuple)


def grown(config):
    """The types of which runs leave an object each, or every other run does."""
    found = []
    for _ in range(2):  # what is made once, by what first looks at it, is not made again
        before = objects()
        report(config, RUNS)
        found.append({name for name, more in (objects() - before).items() if more >= RUNS // 2})
    return found[0] & found[1]


def test_runs_leave_nothing(config):
    """Runs that have ended, and are delivered, leave no object each."""
    report(config, 2 * KNOWN + RUNS)
    assert grown(config) == set()


def test_what_is_left_is_found(config, monkeypatch):
    """A dict that each run would leave is found: the test above can fail."""
    left = []
    ended = open_runs.OpenRuns.take

    def leaking(self, *args):
        left.append({"run": args[:1], "more": left[-1:]})
        return ended(self, *args)

    report(config, 2 * KNOWN)
    monkeypatch.setattr(open_runs.OpenRuns, "take", leaking)
    assert repr(dict) in grown(config)
