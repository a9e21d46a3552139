"""Files that the version before left, and programs that find them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from dotflow.delivery.channel import Channel, outbox_name
from dotflow.delivery.dead import earlier_disk
from dotflow.delivery.dead.earlier_ends import WAITING
from dotflow.runlog import files

FIXTURES = Path(__file__).parent.parent / "delivery" / "earlier"
DIED_AT = 1_700_000_000
OTLP = "OTLP endpoint http://127.0.0.1:18480/v1/traces"
OTLP_KEY = files.reader_key(OTLP)

STATUS = ("outbox", "status", "--json")

SENDS = """
import sys
from dotflow.delivery.channel import Channel
from dotflow.delivery.dialect import Destination, Dialect

channel = Channel(Destination(sys.argv[1], sys.argv[2], Dialect(sys.argv[3]), 5.0))
channel.adopt()
channel.close(20)
"""

RESUMES = """
import sys
from dotflow import Config, DotFlow, action
from dotflow.providers import ServerAPI

@action
def again():
    return "again"

server = ServerAPI(sys.argv[1], sys.argv[2])
workflow = DotFlow(config=Config(server=server), workflow_id="twice")
workflow.task.add(again)
workflow.start()
server.close(20)
"""


DIES = """
import os, signal, sys
from dotflow import Config, DotFlow, action
from dotflow.providers import ServerAPI

server = ServerAPI(sys.argv[1], sys.argv[2])

@action
def again():
    server.flush(1)
    os.kill(os.getpid(), signal.SIGKILL)

workflow = DotFlow(config=Config(server=server), workflow_id="twice")
workflow.task.add(again)
workflow.start()
"""


def left_by_before(fixture, destination=None, key=None):
    """Copy what a fixture holds into the state folder, named after the destination or by a key."""
    folder = earlier_disk.folder()
    folder.mkdir(parents=True, exist_ok=True)
    if destination is not None:
        key = files.reader_key(outbox_name(destination))
    for source in sorted((FIXTURES / fixture / "outbox").iterdir()):
        _, _, rest = source.name.partition("-")
        is_letters = source.name.startswith("dead-letters")
        target = folder / (source.name if is_letters or key is None else f"{key}-{rest}")
        shutil.copyfile(source, target)
        os.utime(target, (DIED_AT, DIED_AT))
    return earlier_disk.paths()


def rows_in(paths):
    """All rows of files."""
    found = []
    for path in paths:
        with earlier_disk.opened(path, "ro") as connection:
            found += earlier_disk.rows(connection)
    return found


def messages_in(paths):
    """The messages that wait in files: headers and body by the key."""
    found = {}
    for path in paths:
        waiting = [row for row in rows_in([path]) if row.state == WAITING]
        with earlier_disk.opened(path, "ro") as connection:
            for row in waiting:
                body = earlier_disk.body(connection, row.number)
                found[row.id] = (json.loads(row.headers or "{}"), body)
    return found


def delivered(destination, seconds=10):
    """Send what was left; what is left then."""
    channel = Channel(destination)
    channel.adopt()
    return channel.close(seconds)


def knows_the_killed_run(api):
    """Have the server know the run of `killed`, whose records were made while it was there."""
    [workflow] = {row.workflow for row in rows_in(earlier_disk.paths())}
    api.workflows[workflow] = {"status": "In progress"}
    for task, server_id in ((1, "srv-1"), (2, "srv-3"), (3, "srv-2")):
        api.tasks[workflow, task] = {"status": "Not started"}
        api._server_ids[server_id] = (workflow, task)


def writes(api):
    """The requests that write, as they came."""
    return [seen for seen in api.seen if seen.method in ("POST", "PATCH")]


def nothing_is_left():
    """Whether no file of the version before is there any more."""
    return [one.name for one in earlier_disk.folder().iterdir()] == []
