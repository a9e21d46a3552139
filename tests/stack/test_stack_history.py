"""A run that no endpoint was ever sent is seen in Jaeger by the file of `dotflow trace --json`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from stack_servers import DOTFLOW
from support import local_program

FAILED = 2


@pytest.fixture
def exported(tmp_path):
    """What `dotflow trace nightly --json` writes of a program that reports to nobody."""
    environment = {
        **os.environ, "PYTHONPATH": str(Path(local_program.__file__).parent.parent),
        "DOTFLOW_HISTORY": "1MB",
    }  # fmt: skip
    program = [sys.executable, "-m", "support.local_program", "otel"]
    subprocess.run(program, env=environment, stdin=subprocess.DEVNULL, check=True, timeout=60,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    command = [DOTFLOW, "trace", "nightly", "--json"]
    done = subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)
    return done.stdout


def test_jaegers_page_opens_the_file(jaeger, exported):
    """Its upload shows a trace with each task below the run, and each attempt below its task."""
    answer = requests.post(
        f"{jaeger.url}/api/transform", exported, timeout=30,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    [trace] = answer.json()["data"]
    names = {span["spanID"]: span["operationName"] for span in trace["spans"]}
    below = {
        (names.get(span["references"][0]["spanID"]) if span["references"] else None,
         span["operationName"])
        for span in trace["spans"]
    }  # fmt: skip
    assert below == {
        (None, "nightly"), ("nightly", "extract"), ("nightly", "load"), ("load", "attempt"),
    }  # fmt: skip
    assert (
        trace["traceID"]
        == json.loads(exported)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"]
    )
    assert [one["serviceName"] for one in trace["processes"].values()] == ["dotflow"]
    failed = [
        span for span in trace["spans"]
        if {"key": "error", "type": "bool", "value": True} in span["tags"]
    ]  # fmt: skip
    assert len(failed) == FAILED


def test_jaegers_endpoint_takes_the_file(jaeger, exported):
    """What is posted to its OTLP port is found by the id of the trace."""
    answer = requests.post(
        f"http://localhost:{jaeger.http_port}/v1/traces", exported, timeout=30,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert answer.json().get("partialSuccess", {}) == {}
