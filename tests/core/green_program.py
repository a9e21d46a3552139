"""A program under gevent: one workflow in a mode that has processes of its own.

Run as `green_program.py MODE [METHOD]`; prints how the tasks ended, with their results.
"""

# ruff: noqa: E402 - gevent wants to be first
from gevent import monkey

monkey.patch_all()

import sys

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault


@action
def one(initial_context):
    return initial_context.storage


if __name__ == "__main__":
    flow = DotFlow(config=Config(server=ServerOtel(), log=LogDefault(level="ERROR")), name="green")
    for number in range(3):
        flow.task.add(one, initial_context=number, group_name=f"group-{number}")
    flow.start(mode=sys.argv[1], start_method=(sys.argv[2:] or [None])[0])
    for task in flow.task.queue:
        sys.stdout.write(f"{task.status} {task.current_context.storage}\n")
