"""Processes that start at the very same moment, and deliver what dead ones have left."""

from __future__ import annotations

import os
import sys

from dotflow.delivery.channel import outbox_name
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.client import Client
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay.relay import Relay
from dotflow.runlog import files
from support import mutants

TOKEN = "s3cr3t-t0ken"


def deliver(url, starter):
    """Wait for the start, and deliver."""
    os.read(starter, 1)  # ends when all are there, and the parent has closed its end
    destination = Destination(url, TOKEN, Dialect.MANAGED)
    relay = Relay(Outbox(outbox_name(destination)), Client(destination))
    relay.adopt()
    counts = relay.flush(30)
    relay.close(0)
    return 0 if counts.pending == 0 else 1


def start_at_once(url, count):
    """Fork the processes, start them, and say how many failed."""
    reader, writer = os.pipe()
    children = []
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os.close(writer)
            code = 9
            try:
                code = deliver(url, reader)
            finally:
                os._exit(code)
        children.append(pid)
    os.close(writer)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in children)


if __name__ == "__main__":
    mutants.switch_on()
    failed = start_at_once(sys.argv[1], int(sys.argv[2]))
    left = list(files.logs())
    sys.exit(f"{failed} failed, {len(left)} logs are left" if failed or left else 0)
