"""Workers: processes that run a workflow and end without their exit handlers.

Run as `workers_program.py HOW`; see `HOW` below.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.process import workers
from dotflow.providers import LogDefault, ServerDefault

workers.LONGEST_WAIT = 100.0  # for a machine that is busy


@action
def step():
    return os.getpid()


def run(name="worker", server=ServerOtel):
    flow = DotFlow(config=Config(server=server(), log=LogDefault(level="ERROR")), name=name)
    flow.task.add(step)
    flow.start()
    return flow.task.queue[0].status


def vanish(name="worker", server=ServerOtel):
    run(name, server)
    os._exit(0)


def forked(server=ServerOtel):
    """Ended by os._exit, right after its run, as Celery's billiard and RQ do."""
    pid = os.fork()
    if pid == 0:
        vanish(server=server)
    os.waitpid(pid, 0)


def pool():
    """Ended by a signal, right after its run."""
    with multiprocessing.get_context("fork").Pool(1) as processes:
        processes.apply(run)


def sibling(server=ServerOtel):
    """Run, and live on until somebody has seen what the other one left."""
    run("sibling", server)
    Path("lives").touch()
    sys.stdin.read()


def kept(servers=[]):  # noqa: B006 - to keep it
    servers.append(ServerOtel())
    return servers[-1]


HOW = {
    "forked": forked,
    "forked, without OpenTelemetry": lambda: forked(ServerDefault),
    "pool": pool,
    "sibling": sibling,
    "sibling, with its server": lambda: sibling(kept),
    "vanish": vanish,
}

if __name__ == "__main__":
    HOW[sys.argv[1]]()
    os._exit(0)  # whatever has arrived by now, the worker has sent
