"""What a later process delivers to dotflow-api names the span that it is about."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.fault_server import FaultServer, status

TOKEN = "a-token-of-the-tests"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")


@pytest.fixture
def web():
    one = FaultServer()
    yield one
    one.close()


def named(seen):
    """The trace, the span and the flags that a request names."""
    return TRACEPARENT.match(seen.headers["traceparent"]).groups()


PROGRAM = textwrap.dedent("""
    import json, os, sys
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from opentelemetry import trace

    found = {}

    @action
    def step():
        found["task"] = trace.get_current_span().get_span_context().span_id
        if "killed" in sys.argv:
            found["trace"] = flow.workflow_id.hex
            print(json.dumps(found), flush=True)
            os.kill(os.getpid(), 9)

    flow = DotFlow(config=Config(server=ServerOtel()), name="etl")
    flow.task.add(step)
    flow.start()
    found["trace"] = flow.workflow_id.hex
    print(json.dumps(found))
""")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["normal", "killed"])
def test_what_a_later_process_delivers_names_the_span_too(end, web, tmp_path):
    """The header is kept with the message: it is the span's of the process that is gone."""
    environment = {
        **os.environ,
        "DOTFLOW_SERVER_URL": web.url,
        "DOTFLOW_USER_TOKEN": TOKEN,
        "DOTFLOW_FLUSH_TIMEOUT": "0",
    }
    web.on("", status(503))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, end],
        env=environment, check=False, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    web.well()
    before = len(web.seen)
    flush = Path(sys.executable).with_name("dotflow")
    subprocess.run(
        [flush, "outbox", "flush"],
        env={**environment, "DOTFLOW_FLUSH_TIMEOUT": "60"}, check=True, timeout=120,
        capture_output=True,
    )  # fmt: skip
    delivered = web.seen[before:]
    assert {"POST /workflows", f"POST /workflows/{web_id(said)}/tasks"} <= {
        seen.line for seen in delivered
    }
    # What the dead process could not say itself is said for it.
    own = [seen for seen in delivered if "traceparent" in seen.headers]
    assert {seen.line for seen in own} >= {seen.line for seen in delivered if seen.method == "POST"}
    for seen in own:
        trace_id, span_id, _ = named(seen)
        assert trace_id == said["trace"]
        assert (int(span_id, 16) == said["task"]) == ("tasks" in seen.path)


def web_id(said):
    text = said["trace"]
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
