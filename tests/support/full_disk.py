"""A process whose files may grow no further; as a program, a run that meets that."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys

from dotflow import Config, DotFlow, action
from dotflow.logging import logger
from dotflow.providers import ServerDefault
from support import mutants


class Lines(logging.Handler):
    """Keeps what is said."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


def limit_files(limit):
    """Have each write that would make a file of this process longer fail: no file may grow."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))


def fill_disk():
    """Have the disk be full for this process, which is to be one that nobody else needs."""
    limit_files(1)


def make_room():
    """Have the disk of this process be full no more."""
    limit_files(resource.RLIM_INFINITY)


@action
def big(previous_context):
    return "x" * 20_000


def main(url, limit):
    lines = Lines()
    logger.addHandler(lines)
    if limit:
        limit_files(limit)
    server = ServerDefault(url, "s3cr3t-t0ken")
    workflow = DotFlow(config=Config(server=server))
    for _ in range(20):
        workflow.task.add(big)
    workflow.start()
    result = server.flush(30)
    statuses = [task.status for task in workflow.task.queue]
    warnings = [line for line in lines.said if "disk" in line or "cannot be written" in line]
    said = {
        "id": str(workflow.workflow_id), "statuses": statuses, "pending": result.pending,
        "warnings": warnings,
    }  # fmt: skip
    server.close(0)
    os.write(1, json.dumps(said).encode())


if __name__ == "__main__":
    mutants.switch_on()
    main(sys.argv[1], int(sys.argv[2]))
