"""A program whose runs are looked at: some that have ended, then one that waits to be killed."""

from __future__ import annotations

import sys

from dotflow import Config, DotFlow, action
from dotflow.providers import ServerDefault

tries = []


@action
def extract(initial_context):
    return {"rows": initial_context.storage, "password": "hunter2"}


@action(retry=3, retry_delay=0)
def load(previous_context):
    tries.append(None)
    if len(tries) < 3:
        raise ConnectionError("password=s3cr3t is wrong")
    return "loaded"


@action
def fail():
    raise LookupError("no such table")


@action
def wait():
    sys.stdout.write("waiting\n")
    sys.stdout.flush()
    sys.stdin.read()


def run(config, name, mode, *steps):
    """Run some steps under a workflow's name and id."""
    workflow = DotFlow(config=config, name=name, workflow_id=f"{name}-1")
    for group, step in steps:
        workflow.task.add(step, initial_context=3, group_name=group)
    workflow.start(mode=mode)


def main(server):
    """Run what there is."""
    config = Config(server=server)
    run(config, "nightly", "sequential_group", ("in", extract), ("out", load))
    run(config, "broken", "sequential", ("default", extract), ("default", fail), ("default", load))
    run(config, "long", "sequential", ("default", extract), ("default", wait), ("default", load))


def server_of(how):
    """One that reports to an address, or nobody."""
    if how == "otel":
        from dotflow.otel import ServerOtel

        return ServerOtel(whole_values=True)
    if how == "none":
        return ServerDefault(whole_values=True)
    return ServerDefault(how, "s3cr3t-t0ken", whole_values=True)


if __name__ == "__main__":
    main(server_of(sys.argv[1]))
