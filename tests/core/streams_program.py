"""A program of which a thread is writing to a stream when it forks.

Run as `streams_program.py STREAM`: stdout, stderr, or log, a pipe that a handler writes to. The
thread's text is more than a pipe takes; the parent empties the pipe once the child is there, and
throws the text away. What the child writes to the stream goes to where the stream led before.
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


def main(name):
    stream = log if name == "log" else getattr(sys, name)
    number = stream.fileno()
    real = os.dup(number)
    reader, writer = os.pipe()
    os.dup2(writer, number)
    threads = []

    def before():
        if not threads:
            threads.append(threading.Thread(target=stream.write, args=(MANY,), daemon=True))
            threads[0].start()
            time.sleep(0.2)  # the pipe is full, and the thread is in the system's write()

    def after_in_child():
        os.dup2(real, number)

    def after_in_parent():
        os.dup2(real, number)
        left = len(MANY)
        while left:
            left -= len(os.read(reader, left))

    os.register_at_fork(
        before=before, after_in_child=after_in_child, after_in_parent=after_in_parent
    )
    flow = DotFlow(config=Config(log=LogDefault(level="CRITICAL")))
    flow.task.add([step])
    flow.start(mode="parallel")
    sys.stdout.write(f"{flow.task.queue[0].status}\n")


if __name__ == "__main__":
    main(sys.argv[1])
