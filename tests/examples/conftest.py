"""What the tests of examples share: the programs as anybody starts them, and where spans arrive."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from examples_support import TIME
from support.otlp import OtlpReceiver


@pytest.fixture
def otlp(monkeypatch):
    """Where the programs send spans."""
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_url)
        monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", str(TIME))
        yield receiver


@pytest.fixture
def run():
    """Runs an example to its end; its standard output."""

    def run(*words, status=0, **given):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True, text=True, timeout=TIME, check=False, **given,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout

    return run


@pytest.fixture
def serve(tmp_path):
    """Runs an example that goes on, until the `with` block ends."""

    @contextmanager
    def serve(*words, **given):
        log = tmp_path / "program.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [str(one) for one in words], stdout=file, stderr=file,
                env=os.environ | {"PYTHONUNBUFFERED": "1"}, **given,
            )  # fmt: skip
            process.log = log
            try:
                yield process
            finally:
                process.terminate()
                process.wait(TIME)

    return serve


@pytest.fixture
def spans_of(otlp, until):
    """The spans of a trace, by name, once all that are expected are there."""

    def spans_of(*names):
        # A batch that was under way when its time was over may come twice, with the same ids.
        until(lambda: {span.name for span in otlp.spans} >= set(names))
        spans = {span.span_id: span for span in otlp.spans}
        assert sorted(span.name for span in spans.values()) == sorted(names)
        return {span.name: span for span in spans.values()}

    return spans_of


@pytest.fixture
def until():
    """Waits for what is expected."""

    def until(happens):
        deadline = time.monotonic() + TIME
        while not (found := happens()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found

    return until
