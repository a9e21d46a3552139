"""A process forks while all its threads are busy: nothing hangs, and no span is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conformance_checks import once
from conformance_runs import TOKEN
from support.otlp import OtlpReceiver

from dotflow.api import ApiServer

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("conformance_forks.py")
TIME = 600  # seconds, for a machine that is busy; what hangs, hangs for longer


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("forks", [75, pytest.param(1000, marks=pytest.mark.soak)])
def test_many_forks(forks, protocol, tmp_path):
    """Every child ends, and all spans of all children and of the busy threads arrive, once."""
    with OtlpReceiver() as receiver, ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(forks)],
            capture_output=True, text=True, timeout=TIME, check=False,
            env=os.environ | {
                "DOTFLOW_SERVER_URL": api.url,
                "DOTFLOW_USER_TOKEN": TOKEN,
                "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
                "OTEL_EXPORTER_OTLP_ENDPOINT":
                    receiver.grpc_url if protocol == "grpc" else receiver.http_url,
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_BSP_SCHEDULE_DELAY": "20",
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        spans = once(receiver.spans, done.stderr)
    runs, statuses = json.loads(done.stdout)
    tasks = forks + runs["sequential"]
    assert statuses == {"Completed": tasks}, done.stderr
    names = Counter(span.name for span in spans)
    assert names == {**runs, "step": tasks, "inner": tasks}, done.stderr
    by_id = {span.span_id: span for span in spans}
    parents = Counter(by_id[span.parent_id].name if span.parent_id else None for span in spans)
    assert parents == {None: sum(runs.values()), "step": tasks, **_tasks_of(forks, runs)}


def _tasks_of(forks, runs):
    return {"parallel": forks, "sequential": runs["sequential"]}
