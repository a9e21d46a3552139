"""What workers report arrives, though others end them without a word."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.fault_server import TOKEN, hang, status
from support.otlp import OtlpReceiver
from support.reports import put_run, put_workflow

from dotflow.otel.export.leaving import beside
from dotflow.otel.export.otlp.endpoint import OtlpSettings, endpoint_name
from dotflow.process import workers
from dotflow.runlog import files, lateness, leftovers

pytestmark = pytest.mark.slow  # each starts programs

PROGRAM = Path(__file__).with_name("workers_program.py")
TIME = 60.0  # seconds, for a machine that is busy


@pytest.fixture
def otlp():
    with OtlpReceiver() as receiver:
        yield receiver


def environment(api, otlp, **variables):
    return os.environ | {
        "DOTFLOW_SERVER_URL": api.url, "DOTFLOW_USER_TOKEN": TOKEN,
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url, "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
        **variables,
    }  # fmt: skip


def work(how, api, otlp, **variables):
    return subprocess.run(
        [sys.executable, str(PROGRAM), how], env=environment(api, otlp, **variables),
        capture_output=True, text=True, timeout=TIME, check=True,
    )  # fmt: skip


def statuses(api):
    return [one["status"] for one in (*api.workflows.values(), *api.tasks.values())]


@pytest.mark.parametrize("how", ["forked", "forked, without OpenTelemetry", "pool"])
def test_all_has_left_when_a_run_is_over(how, api, otlp):
    """Records and spans are there before anybody can end the worker, and nothing is left."""
    done = work(how, api, otlp)
    assert statuses(api) == ["Completed"] * 2, done.stderr
    spans = [] if "without" in how else ["step", "worker"]
    assert sorted(span.name for span in otlp.spans) == spans
    assert not list(files.folder().glob(f"*{lateness.LATE}"))


@pytest.mark.parametrize("how", ["sibling", "sibling, with its server"])
def test_a_sibling_takes_over_what_a_worker_left(how, api, otlp):
    """A process that lives on, and reports nothing more, delivers it by itself."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), how], env=environment(api, otlp),
        stdin=subprocess.PIPE,
    ) as sibling:  # fmt: skip
        _until(lambda: Path("lives").exists())
        # The worker has no time for its delivery.
        work("vanish", api, otlp, DOTFLOW_FLUSH_TIMEOUT="0")
        _until(lambda: {span.name for span in otlp.spans} >= {"worker", "step"})
        _until(lambda: "worker" in {one["name"] for one in api.workflows.values()})
        _until(lambda: set(statuses(api)) == {"Completed"})
        assert sibling.poll() is None
        sibling.communicate(timeout=TIME)


def test_an_outage_is_said_once_by_who_looks(api, otlp, monkeypatch, caplog):
    """What was left while the endpoint is away has one sender, which ends once all has left."""
    work("vanish", api, otlp, DOTFLOW_FLUSH_TIMEOUT="0")
    monkeypatch.setattr(leftovers, "AGAIN", 0.0)
    settings = OtlpSettings(endpoint=otlp.http_url)
    key = files.reader_key(endpoint_name(settings))
    otlp.is_away = True
    beside.look(key, settings)
    otlp.wait_for_request()
    for _ in range(3):
        beside.look(key, settings)
    assert len(beside._replays) == 1
    otlp.is_away = False

    def is_over():
        beside.look(key, settings)
        return not beside._replays

    _until(is_over)
    assert sorted(span.name for span in otlp.spans) == ["step", "worker"]
    assert sum("answers 404" in one for one in caplog.messages) <= 1


@pytest.mark.parametrize("fault", [status(503), status(401), hang])
def test_a_server_that_takes_nothing_is_not_waited_for_again(fault, api, relays):
    """What is away costs later runs nothing for a minute, in this process and in others."""
    api.on(".", fault)
    relay = relays(api, timeout=0.5)
    put_run(relay)
    assert relay.deliver(30).pending
    assert lateness.is_late(relay.key)
    asked = len(api.seen)
    lateness._late.clear()  # as in a process that is new
    put_workflow(relay, "later")
    assert relay.deliver(30).pending
    assert len(api.seen) == asked or fault is hang  # that has some under way
    [note] = files.folder().glob(f"*{lateness.LATE}")
    os.utime(note, (1, 1))  # a minute later
    assert not lateness.is_late(relay.key)
    assert not note.exists()


def test_what_is_delivered_is_waited_for(api, relays):
    """A server that takes all has it when `deliver` returns."""
    relay = relays(api)
    put_run(relay)
    assert relay.deliver(TIME).pending == 0
    assert set(statuses(api)) == {"Completed"}
    assert not lateness.is_late(relay.key)


@pytest.mark.parametrize(
    ("daemon", "by_hand", "expected"),
    [(True, False, True), (False, False, False), (None, True, True)],
)
def test_who_is_a_worker(daemon, by_hand, expected):
    """A daemonic child is one, and one that was forked by hand; other children are none."""
    assert not workers.is_one()
    answer, write = os.pipe()

    def say():
        os.write(write, b"1" if workers.is_one() else b"0")

    if by_hand:
        pid = os.fork()
        if pid == 0:
            try:
                say()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    else:
        child = multiprocessing.get_context("fork").Process(target=say, daemon=daemon)
        child.start()
        child.join()
    assert os.read(answer, 1) == (b"1" if expected else b"0")
    os.close(answer)
    os.close(write)


def _until(condition):
    deadline = time.monotonic() + TIME
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
