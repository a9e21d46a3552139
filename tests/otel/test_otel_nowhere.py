"""A ServerOtel that reports to nobody says so once, and what to set."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import sys
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from dotflow.providers import LogDefault

    @action
    def step():
        return 1

    def run(server, mode="sequential"):
        log = LogDefault(level="ERROR", output="file", path="log")
        flow = DotFlow(config=Config(server=server, log=log), name="etl")
        flow.task.add([step, step])
        flow.start(mode=mode)
        assert flow.result_storage() == [1, 1]

    if __name__ == "__main__":
        CODE
"""
SAID = (
    "ServerOtel has no destination: set OTEL_EXPORTER_OTLP_ENDPOINT for traces "
    "(http://localhost:4318 for a Collector on this machine), or DOTFLOW_SERVER_URL and "
    "DOTFLOW_USER_TOKEN for dotflow-api. If you want none, set OTEL_TRACES_EXPORTER=none."
)


@pytest.fixture
def stderr(tmp_path):
    """Run a program with some lines of its own; what it wrote to standard error."""

    def run(code):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(PROGRAM.replace("CODE", code)))
        done = subprocess.run(
            [sys.executable, path], capture_output=True, text=True, timeout=120, check=True
        )
        return done.stderr

    return run


@pytest.mark.parametrize(
    "code",
    [
        "[run(ServerOtel()) for _ in range(3)]",
        "run(ServerOtel(), 'parallel')",
        "run(ServerOtel(set_global=False))",
    ],
)
def test_it_is_said_once(code, stderr):
    """However many runs there are, and processes."""
    said = stderr(code)
    assert said.count("\n") == 1
    assert SAID in said


NO_RUN = "ServerOtel()"
GIVEN = "run(ServerOtel(tracer_provider=TracerProvider()))"
ADDED = """server = ServerOtel()
        server.tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        run(server)
"""
CHILD = """import multiprocessing
        child = multiprocessing.Process(target=run, args=[ServerOtel()])
        child.start()
        child.join()
        assert child.exitcode == 0
"""


@pytest.mark.parametrize("code", [NO_RUN, GIVEN, ADDED, CHILD])
def test_where_it_is_the_programs_own_affair(code, stderr):
    """Where nothing runs, where an application has seen to its spans, and in a child."""
    assert stderr(code) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ],
)
def test_where_the_environment_says_that_it_is_meant(name, value, stderr, monkeypatch):
    """Nothing is said."""
    monkeypatch.setenv(name, value)
    assert stderr("run(ServerOtel())") == ""


def test_where_there_are_records(api, stderr, monkeypatch):
    """Whoever reports to dotflow-api may want no traces."""
    monkeypatch.setenv("DOTFLOW_SERVER_URL", api.url)
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", "a-token-of-the-tests")
    assert stderr("run(ServerOtel())") == ""


def test_what_is_wrong_with_the_endpoint_is_said_alone(stderr, monkeypatch):
    """One line, not two."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")
    assert stderr("run(ServerOtel())").count("\n") == 1
