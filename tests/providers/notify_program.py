"""A run that fails, and is told of, in a process that ends: python notify_program.py HOW."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys

from dotflow import Config, DotFlow, action
from dotflow.process import workers


@action
def fails():
    raise ValueError("no luck")


workers.LONGEST_WAIT = 60.0  # a machine may be busy


def run(mode="sequential"):
    flow = DotFlow(name="etl")
    flow.task.add(fails)
    flow.start(mode=mode)


def main(how):
    if how == "forked":  # as a worker of Celery's: it ends without exit handlers
        if not os.fork():
            run()
            os._exit(0)
        os.wait()
    elif how == "daemonic":
        with multiprocessing.Pool(1) as pool:
            pool.apply(run)
    elif how == "in an exit handler":
        Config()  # Apprise cannot be imported any more, then
        atexit.register(run)
    else:
        run("parallel" if how == "parallel" else "sequential")


if __name__ == "__main__":
    main(sys.argv[1])
