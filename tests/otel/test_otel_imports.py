"""What a healthy run loads is loaded before it; what it has no use for, where that is used."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.fault_server import TOKEN, FaultServer, status

NOT_FOR_A_HEALTHY_RUN = (
    "sqlite3", "multiprocessing", "grpc", "html", "dotflow.delivery.dead.earlier",
    "dotflow.delivery.dead.earlier_file", "dotflow.delivery.dead_letters",
    "dotflow.core.children.lane", "dotflow.core.remote", "dotflow.otel.heard",
    "dotflow.otel.workers.begun",
)  # fmt: skip
OURS = ("dotflow", "opentelemetry", "requests", "urllib3", "google")

HEALTHY = f"""
import sys, dotflow
from dotflow.otel import ServerOtel
server = ServerOtel()
flow = dotflow.DotFlow(config=dotflow.Config(server=server))
flow.task.add(dotflow.action(int))
before = set(sys.modules)
flow.start()
assert server.flush(60).complete and server.spans_exported == 2, server.spans_exported
server.close(60)
print([one for one in set(sys.modules) - before if one.split(".")[0] in {OURS}])
print([one for one in {NOT_FOR_A_HEALTHY_RUN} if one in sys.modules])
"""

LATE = """
import atexit, os, signal, sys, dotflow
from dotflow.otel import ServerOtel

PLACE = sys.argv[1]

def fails():
    raise ValueError("password=hunter2")

def run(*_):
    server = ServerOtel()
    flow = dotflow.DotFlow(config=dotflow.Config(server=server))
    flow.task.add(dotflow.action(fails))
    flow.start()
    server.close(60)
    assert "sqlite3" in sys.modules and "dotflow.delivery.dead_letters" in sys.modules

if PLACE == "exit":
    atexit.register(run)
elif PLACE == "handler":
    signal.signal(signal.SIGUSR1, run)
    os.kill(os.getpid(), signal.SIGUSR1)
else:
    before = ServerOtel()
    child = os.fork()
    if child == 0:
        run()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture
def records():
    server = FaultServer()
    yield server
    server.close()


def ran(program, records, otlp, folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *arguments],
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url, "DOTFLOW_SERVER_URL": records.url,
            "DOTFLOW_USER_TOKEN": TOKEN, "DOTFLOW_STATE_DIR": str(folder),
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def test_a_run_waits_for_no_import(records, otlp, tmp_path):
    """With both exports on, a ServerOtel loads what they need; a run and its end load nothing."""
    done = ran(HEALTHY, records, otlp, tmp_path)
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"], done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("place", ["exit", "handler", "child"])
def test_what_only_trouble_needs_loads_anywhere(place, records, otlp, tmp_path):
    """A refused report is kept, and a credential masked, by what is loaded at the interpreter's
    end, in a signal's handler, and in a forked child."""
    records.on("POST /workflows/.*/tasks", status(422))
    done = ran(LATE, records, otlp, tmp_path, place)
    assert list(tmp_path.rglob("dead-letters.sqlite3")), done.stderr[-2000:]
    assert "hunter2" not in done.stdout + done.stderr
    assert not any(b"hunter2" in one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
