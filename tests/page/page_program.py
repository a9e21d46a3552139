"""A workflow whose steps wait until they may go on: for a file of their name."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

FOLDER, NAME = Path(sys.argv[1]), sys.argv[2]


def waits_for(name):
    while not (FOLDER / name).exists():
        time.sleep(0.02)


@action
def extract():
    waits_for("extract")
    return {"rows": 3}


@action(retry=2, retry_delay=0)
def load():
    waits_for("load")
    if not (FOLDER / "mended").exists():
        (FOLDER / "mended").touch()
        raise ConnectionError("the warehouse is closed")
    return "loaded"


@action
def publish():
    waits_for("publish")
    raise ValueError("nobody reads this")


if __name__ == "__main__":
    workflow = DotFlow(config=Config(server=ServerOtel()), name=NAME)
    for step in (extract, load, publish):
        workflow.task.add(step=step)
    workflow.start()
