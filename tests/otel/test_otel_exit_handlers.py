"""A program's first run is in one of its exit handlers: all of it is run, and delivered."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from support.fault_server import TOKEN, FaultServer

pytestmark = pytest.mark.slow  # each starts programs

TIME = 120  # seconds, for a machine that is busy

PROGRAM = """
import atexit, sys, threading

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

MODE, LIMIT, REFUSES = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "refuses"

@action(timeout=LIMIT)
def clean():
    return "clean"

def bye():
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    if REFUSES:  # as Python does from 3.12 on
        threading.Thread.start = refuse
    flow = DotFlow(config=Config(server=ServerOtel(), log=LogDefault(level="ERROR")), name="bye")
    flow.task.add(step=clean)
    manager = flow.start(mode=MODE)
    if MODE == "background":
        manager.thread.join()
    print([(task.status, task.current_context.storage) for task in flow.task.queue])

atexit.register(bye)
"""


@pytest.fixture
def records():
    server = FaultServer()
    yield server
    server.close()


@pytest.mark.parametrize("threads", ["starts", "refuses"])
@pytest.mark.parametrize(
    ("mode", "limit"), [("sequential", 0), ("sequential", 60), ("background", 0)]
)
def test_a_first_run_in_an_exit_handler(mode, limit, threads, records, otlp):
    """Also where no thread can be started any more nothing is lost, and the step is run."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), mode, str(limit), threads],
        capture_output=True, text=True, timeout=TIME, check=False,
        env=os.environ | {
            "DOTFLOW_SERVER_URL": records.url, "DOTFLOW_USER_TOKEN": TOKEN,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url, "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
            "OTEL_RESOURCE_ATTRIBUTES": "team=data",
        },
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[('Completed', 'clean')]\n", "")
    assert sorted(span.name for span in otlp.spans) == ["bye", "clean"]
    said = otlp.spans[0].resource
    assert (said["service.name"], said["team"]) == ("dotflow", "data")
    assert said["telemetry.sdk.name"] == "opentelemetry"
    kept = [*records.workflows.values(), *records.tasks.values()]
    assert [one["status"] for one in kept] == ["Completed"] * 2
