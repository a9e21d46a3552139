"""Counts the Python calls that a child makes from its fork to the first line of its step."""

from __future__ import annotations

import json
import os
import sys

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

parent = os.getpid()
calls: dict[str, int] = {}


def count(frame, event, _):
    if event == "call" and os.getpid() != parent:
        code = frame.f_code
        name = f"{'/'.join(code.co_filename.split('/')[-3:])}:{code.co_name}"
        calls[name] = calls.get(name, 0) + 1


@action
def step():
    sys.setprofile(None)
    return calls


config = Config(server=ServerOtel(), log=LogDefault(level="ERROR"))


def run():
    workflow = DotFlow(config=config)
    workflow.task.add(step)
    workflow.start(mode="parallel")
    return workflow.result_storage()[0]


run()  # all is loaded and made after it
sys.setprofile(count)
found = run()
sys.setprofile(None)
config.server.flush(60)
sys.stdout.write(json.dumps(found))
