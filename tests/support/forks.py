"""A process that forks again and again while its threads are busy with their outbox."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading

from dotflow.delivery.channel import outbox_name
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay import Relay
from support import mutants
from support.outbox_contract import task_patch, task_post, workflow_post

WATCHDOG = 120
"""Seconds after which a child that hangs is killed, and has failed."""


def report(relay, workflow, task):
    relay.put(task_post(task, workflow))
    relay.put(task_patch(task, workflow, status="Completed"))


def child(relay, number):
    """What each child does: put, and deliver."""
    signal.alarm(WATCHDOG)
    report(relay, "child", number)
    is_delivered = relay.flush(60).pending == 0
    relay.close(0)
    return 0 if is_delivered else 3


def main(url, count):
    destination = Destination(url, "s3cr3t-t0ken", Dialect.MANAGED)
    relay = Relay(Outbox(outbox_name(destination)), Client(destination))
    relay.put(workflow_post("child"))
    relay.put(workflow_post("parent"))
    assert relay.flush(60).pending == 0
    over = threading.Event()

    def work(first):
        for task in itertools.count(first, 2):
            if over.wait(0.0005):
                break
            report(relay, "parent", task)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    failed = 0
    children = []
    for number in range(count):
        pid = os.fork()
        if not pid:
            code = 9
            try:
                code = child(relay, number)
            finally:
                os._exit(code)
        children.append(pid)
        if len(children) > 3:
            failed += os.waitpid(children.pop(0), 0)[1] != 0
    failed += sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
    over.set()
    for thread in threads:
        thread.join()
    counts = relay.flush(120)
    relay.close(0)
    return f"{failed} children failed, {counts.pending} wait" if failed or counts.pending else 0


if __name__ == "__main__":
    mutants.switch_on()
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
