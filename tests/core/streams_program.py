"""A program of which threads are writing to streams when it forks.

Run as `streams_program.py STREAM ...`: stdout, stderr, or log, a pipe that a handler writes to.
The thread's text is more than a pipe takes; the parent empties the pipe once the child is there,
and throws the text away. What the child writes to the stream goes to where the stream led before.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault

MANY = "x" * 1_000_000
log = os.fdopen(os.dup(2), "w")
logging.basicConfig(
    format="%(message)s", handlers=[logging.StreamHandler(), logging.StreamHandler(log)]
)


@action
def step():
    sys.stdout.write("a step says\n")
    logging.getLogger("a step").warning("a step logs")


class Locked:
    """A stream that a thread is writing to, into a pipe that is full, from before a fork."""

    def __init__(self, name):
        self.stream = log if name == "log" else getattr(sys, name)
        self.number = self.stream.fileno()
        self.real = os.dup(self.number)
        self.reader, writer = os.pipe()
        os.dup2(writer, self.number)

    def write(self):
        threading.Thread(target=self.stream.write, args=(MANY,), daemon=True).start()

    def give_back(self):
        os.dup2(self.real, self.number)

    def empty(self):
        self.give_back()
        left = len(MANY)
        while left:
            left -= len(os.read(self.reader, left))


def main(names):
    locked = [Locked(name) for name in names]
    begun = []

    def before():
        if not begun:
            begun.append(True)
            for one in locked:
                one.write()
            time.sleep(0.2)  # the pipes are full, and the threads are in the system's write()

    os.register_at_fork(
        before=before,
        after_in_child=lambda: [one.give_back() for one in locked],
        after_in_parent=lambda: [one.empty() for one in locked],
    )
    flow = DotFlow(config=Config(log=LogDefault(level="CRITICAL")))
    flow.task.add([step])
    flow.start(mode="parallel")
    sys.stdout.write(f"{flow.task.queue[0].status}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
