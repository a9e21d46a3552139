"""A script whose steps, of its own, run on a cluster until it is ended: ADDRESS TRUTH UNTIL."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from distributed import Client

from dotflow import DotFlow, action

RUN, WAIT = 2, 3


class Said:
    """A value of a class that no worker can import."""

    def __init__(self, words):
        self.words = words


@action
def says(initial_context):
    return Said(initial_context.storage)


@action
def waits(initial_context):
    truth, until = initial_context.storage
    with Path(truth).open("a") as file:
        file.write(f"began {os.getpid()}\n")
    deadline = time.monotonic() + 60
    while not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with Path(truth).open("a") as file:
        file.write(f"ended {os.getpid()}\n")


def main():
    address, truth, until = sys.argv[1:]
    with Client(address) as client:
        first = DotFlow()
        first.task.add(says, initial_context="by value")
        first.start(mode="parallel", executor=client)
        flow = DotFlow()
        flow.task.add([waits] * (RUN + WAIT), initial_context=(truth, until))
        try:
            flow.start(mode="parallel", executor=client)
        finally:
            said = first.result_storage()[0]
            tasks = [
                (one.status, [error.message for error in one.errors]) for one in flow.result_task()
            ]
            sys.stdout.write(json.dumps([type(said) is Said and said.words, tasks]))


if __name__ == "__main__":
    main()
