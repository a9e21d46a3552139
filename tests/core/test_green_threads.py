"""Under gevent workflows run in all modes, in processes that are not forked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.otlp import OtlpReceiver

from dotflow.core.children import start_method

pytestmark = pytest.mark.slow  # each starts programs

pytest.importorskip("gevent")

PROGRAM = Path(__file__).with_name("green_program.py")
TIME = 120  # seconds, for a machine that is busy


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        capture_output=True, text=True, timeout=TIME, check=False,
        env=os.environ | {"DOTFLOW_FLUSH_TIMEOUT": str(TIME), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["sequential", "parallel", "sequential_group"])
def test_all_is_run_and_reported_once(mode):
    """Every task completes, and each span and record is there once."""
    with OtlpReceiver() as otlp, closing(FaultServer()) as api:
        done = run(
            mode, OTEL_EXPORTER_OTLP_ENDPOINT=otlp.http_url,
            DOTFLOW_SERVER_URL=api.url, DOTFLOW_USER_TOKEN="s3cr3t-t0ken",
        )  # fmt: skip
        assert done.stdout.splitlines() == [f"Completed {n}" for n in range(3)], done.stderr
        assert (done.returncode, done.stderr) == (0, "")
        assert sorted(span.name for span in otlp.spans) == ["green", "one", "one", "one"]
        assert [one["status"] for one in api.workflows.values()] == ["Completed"]
        assert [one["status"] for one in api.tasks.values()] == ["Completed"] * 3
        posts = [one for one in api.seen if one.method == "POST"]
        assert len(posts) == 4


def test_a_fork_is_refused_with_the_remedy():
    """To ask for what cannot work is one error that says what does."""
    done = run("parallel", "fork")
    assert done.returncode == 1
    assert 'start_method="fork" does not work under gevent' in done.stderr
    assert 'use "spawn"' in done.stderr


def test_a_step_that_cannot_come_is_not_told_to_fork(monkeypatch):
    """The remedies name no method that is refused."""
    assert 'start_method="fork"' in start_method.remedy_of_a_step()

    def get_ident():
        return 1

    get_ident.__module__ = "gevent.thread"
    monkeypatch.setattr(threading, "get_ident", get_ident)
    assert start_method.green_threads() == "gevent"
    assert 'start_method="fork"' not in start_method.remedy_of_a_step()
    assert start_method.start_method_of(None) == "spawn"
