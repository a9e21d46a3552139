"""Runs a workflow once for each line of standard input: `NAME=VALUE`, or several between tabs.

Each in a forked child that has not imported OpenTelemetry, for the SDK reads much when it is. A
line of standard output for each: its results, the spans that were exported, and what was said.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import requests  # noqa: F401 - what takes its time is here before the children


def run(saying):
    os.dup2(saying.fileno(), 2)
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from dotflow.providers import LogDefault

    server = ServerOtel()
    log = LogDefault(level="ERROR", output="file", path=os.environ["DOTFLOW_STATE_DIR"] + "/log")
    flow = DotFlow(config=Config(server=server, log=log), name="etl")
    flow.task.add(action(lambda: 7))
    flow.start()
    is_complete = server.flush(60).complete
    return flow.result_storage(), server.spans_exported, is_complete


def in_a_child(line):
    wrong = dict(one.split("=", 1) for one in line.split("\t"))
    with tempfile.TemporaryFile("w+") as saying, tempfile.TemporaryFile("w+") as answer:
        child = os.fork()
        if not child:
            os.environ["DOTFLOW_STATE_DIR"] = tempfile.mkdtemp(dir=".")
            os.environ.update(wrong)
            try:
                found = run(saying)
            except BaseException as error:
                found = repr(error)
            json.dump(found, answer)
            answer.flush()
            os._exit(0)
        os.waitpid(child, 0)
        answer.seek(0)
        saying.seek(0)
        return json.load(answer), saying.read()


if __name__ == "__main__":
    for one in sys.stdin.read().splitlines():
        sys.stdout.write(f"{json.dumps(in_a_child(one))}\n")
