"""A function as AWS Lambda calls it: all reports have left when the function returns.

Between two calls Lambda freezes the process, and the process may never wake up: a report that is
still on its way then is late, or lost. So the handler calls `flush` with the time that is left,
and says whether all has left. Lambda can write to /tmp only, so the run log is there.

    python examples/lambda_handler.py '{"city": "Lisbon"}'

In Lambda: handler `lambda_handler.handler`, and the variables OTEL_EXPORTER_OTLP_ENDPOINT and
DOTFLOW_STATE_DIR=/tmp/dotflow.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.setdefault("DOTFLOW_STATE_DIR", "/tmp/dotflow")  # noqa: S108 - there is no other place

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

RESERVE = 0.5  # seconds of the limit that the answer itself may take

server = ServerOtel(service_name="weather")  # once a process, not once a call


@action
def measure(initial_context: Any) -> dict[str, Any]:
    """The weather in a city."""
    return {"city": initial_context.storage["city"], "degrees": 21}


@action
def describe(previous_context: Any) -> str:
    """The same in words."""
    return "It is {degrees} degrees in {city}.".format(**previous_context.storage)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event."""
    workflow = DotFlow(config=Config(server=server), name="weather")
    workflow.task.add(step=[measure, describe], initial_context=event)
    run = workflow.start()
    sent = server.flush(context.get_remaining_time_in_millis() / 1000 - RESERVE)
    return {
        "ok": run.ok,
        "words": workflow.result_storage()[-1],
        "trace_id": run.trace_id,
        "all_has_left": sent.complete,
    }


class Local:
    """What Lambda gives beside the event, for a try on this machine."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Milliseconds until the call is ended."""
        return 30_000


if __name__ == "__main__":
    print(json.dumps(handler(json.loads(sys.argv[1]), Local())))
