"""Many short runs, one after another in one process; every second one fails.

Run as `stack_many.py COUNT`. It prints each run as an object of JSON, and sends all before it ends.
"""

from __future__ import annotations

import json
import sys

from opentelemetry import trace

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

NAMES = ("batch", "look", "read", "judge")
"""The names of the spans of each run."""

tracer = trace.get_tracer("batch")


@action
def look(initial_context):
    """Opens a span of its own."""
    with tracer.start_as_current_span("read"):
        return initial_context.storage


@action
def judge(previous_context):
    """Fails where the number is odd."""
    if previous_context.storage % 2:
        raise ValueError("an odd one")
    return "even"


def main(count):
    server = ServerOtel()
    for number in range(count):
        workflow = DotFlow(
            config=Config(server=server, log=LogDefault(level="CRITICAL")), name="batch"
        )
        workflow.task.add(step=look, initial_context=number)
        workflow.task.add(step=judge)
        workflow.start()
        trace_id = str(workflow.workflow_id).replace("-", "")
        told = {"trace": trace_id, "failed": bool(number % 2)}
        sys.stdout.write(json.dumps(told) + "\n")
    left = server.flush(120)
    sys.exit(f"not all has left: {left}" if left.pending or left.dead else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
