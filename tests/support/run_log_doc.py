"""A small program whose run log is the example of docs/understand/run-log.md."""

from __future__ import annotations

import contextlib
import sys

from dotflow import Config, DotFlow, action
from dotflow.providers import ServerDefault, StorageFile

tries = []


@action
def extract(initial_context):
    return {"rows": initial_context.storage}


@action(retry=2)
def load(previous_context):
    tries.append(None)
    if len(tries) == 1:
        raise ConnectionError("the database is away")
    return "loaded"


def tell(task):
    raise SystemExit("nobody to tell")


def main(url, is_flushed):
    """Run a workflow, run it again from its checkpoints, and one that its callback ends."""
    server = ServerDefault(url, "s3cr3t-t0ken")
    for is_second in (False, True):
        config = Config(server=server, storage=StorageFile(path="checkpoints"))
        workflow = DotFlow(config=config, name="nightly", workflow_id="nightly-1")
        workflow.task.add(extract, initial_context=3)
        workflow.task.add(load)
        workflow.start(resume=is_second)
    other = DotFlow(config=Config(server=server), workflow_id="nightly-2")
    other.task.add(extract, initial_context=3, callback=tell)
    with contextlib.suppress(SystemExit):
        other.start()
    if is_flushed == "flush":
        server.flush(30)


if __name__ == "__main__":
    main(*sys.argv[1:])
