"""Makes the files of this folder; run by the version before, see README.md.

Run without arguments it makes them all. With the name of a program it is that program: it reports
to a server that the first one plays, and ends as its name says.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from support import fault_server
from support.fault_server import TOKEN, FaultServer, status

from dotflow import Config, DotFlow, action
from dotflow.providers import ServerAPI, ServerDefault

PORT = 18480
URL = f"http://127.0.0.1:{PORT}"
STATES = Path("states")


def tell(word):
    """Tell the server's process something, and wait until it has done it."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def die():
    """End as `kill -9` ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def run(server, workflow, *steps, name=None):
    """Run a workflow."""
    flow = DotFlow(config=Config(server=server), workflow_id=workflow, name=name)
    for step in steps:
        flow.task.add(step)
    flow.start()


@action
def extract():
    return {"rows": [1, 2, 3]}


@action
def load(previous_context):
    return {"loaded": previous_context.storage}


def killed():
    """Default dialect: dies in its second task; the server was away from the first one on."""
    server = ServerDefault(URL, TOKEN)
    tries = []

    @action
    def first():
        server.flush(5)
        tell("away")
        return {"rows": [1, 2, 3]}

    @action(retry=3, retry_delay=0)
    def second():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no answer")
        die()

    run(server, None, first, second, load, name="killed")


def away():
    """Default dialect, with traces: two runs, one that fails; the server is away."""
    from dotflow.otel import ServerOtel

    @action
    def fails():
        raise ValueError("no room")

    server = ServerOtel(URL, TOKEN, dialect="default")
    run(server, None, extract, load, name="good")
    run(server, None, extract, fails, name="bad")
    server.close(0.3)


def refused():
    """Managed: the server refuses a task for good, and the process ends."""
    server = ServerAPI(URL, TOKEN)
    run(server, "refused", extract, load)
    server.close(5)


def refused_killed():
    """Managed: the server refuses a task for good, and the process dies in the next one."""
    server = ServerAPI(URL, TOKEN)

    @action
    def last():
        server.flush(5)
        die()

    run(server, "refused-killed", extract, load, last)


def twice_1():
    """Managed, the server away: the first process dies in its first task."""

    @action
    def first():
        die()

    run(ServerAPI(URL, TOKEN), "twice", first, load)


def twice_2():
    """The second process begins the same run anew, and dies in its second task."""

    @action
    def second():
        time.sleep(0.5)
        die()

    run(ServerAPI(URL, TOKEN), "twice", extract, second)


def spans():
    """An OTLP endpoint that is away: a batch was kept, and then the process dies in a run."""
    from dotflow.otel import ServerOtel

    @action
    def dies():
        die()

    server = ServerOtel()
    run(server, None, extract, load, name="kept")
    server.flush(5)
    run(server, None, extract, dies, name="held")


PROGRAMS = {
    "killed": [killed], "away": [away], "refused": [refused, refused_killed],
    "twice": [twice_1, twice_2], "spans": [spans],
}  # fmt: skip


class _FixedPort(fault_server._Http):
    def __init__(self, address, handler):
        super().__init__((address[0], PORT), handler)


def make(folder, programs):
    """Have programs run, one after the other, and keep what they leave."""
    state = STATES / folder
    shutil.rmtree(state, ignore_errors=True)
    for program in programs:
        api = FaultServer()
        if folder == "refused":
            api.workflows.update({"refused": {}, "refused-killed": {}})
            api.on("POST /workflows/.*/tasks", status(422, {"detail": "no, thank you"}), times=1)
        elif folder != "killed":
            api.on("POST|PATCH", status(503))
        environment = {**os.environ, "DOTFLOW_STATE_DIR": str(state.absolute())}
        if folder == "spans":
            environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        child = subprocess.Popen(
            [sys.executable, __file__, program.__name__], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        for line in child.stdout:
            if line == "away\n":
                api.on(".*", status(503))
            child.stdin.write("done\n")
            child.stdin.flush()
        sys.stdout.write(f"{program.__name__}: {child.wait()}; {api.lines()[:4]}...\n")
        api.close()
    for index in (state / "outbox").glob("*-shm"):
        index.unlink()


if __name__ == "__main__":
    if sys.argv[1:]:
        globals()[sys.argv[1]]()
    else:
        fault_server._Http = _FixedPort
        for one, made_by in PROGRAMS.items():
            make(one, made_by)
