"""OpenTelemetry Weaver says of the registry, and of what runs emit, what our own check says."""

from __future__ import annotations

import shutil
import socket
import subprocess
import urllib.request

import grpc
import pytest
from conventions_receiver import RequestReceiver
from conventions_runs import everything

from conventions.registry import FOLDER, read
from conventions.weaver import settings

TIMEOUT = 120  # seconds that nothing here takes
METHOD = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"
SERVICES = {
    "ExportTraceServiceRequest": METHOD.format("trace", "Trace"),
    "ExportMetricsServiceRequest": METHOD.format("metrics", "Metrics"),
    "ExportLogsServiceRequest": METHOD.format("logs", "Logs"),
}


def test_weaver_is_told_how_each_span_is_known():
    """A span's kind and name, in the language of its matchers."""
    text = settings(read())
    for expected in (
        r"kind == \"internal\" && ((name == \"attempt\"))",
        r"((\"dotflow.task.name\" in attributes && name == attributes[\"dotflow.task.name\"]))",
        r"name == \"workflow:\" + attributes[\"dotflow.workflow_id\"]",
        r"kind == \"server\" && ((\"dotflow.workflow.name\" in attributes && ",
        r"attributes[\"dotflow.workflow.name\"]) || (name == \"workflow\"))",
    ):
        assert expected in text
    assert text.count('sample_type = "span"\n') == len(read().spans)


weaver = shutil.which("weaver")
needs_weaver = pytest.mark.skipif(weaver is None, reason="there is no weaver on the path")


@pytest.fixture
def folder(tmp_path):
    """Where Weaver is run: paths of the manifest are read from there, and what it is told."""
    (tmp_path / "conventions").symlink_to(FOLDER)
    (tmp_path / ".weaver.toml").write_text(settings(read()))
    return tmp_path


def ports(count):
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [one.getsockname()[1] for one in found]
    for one in found:
        one.close()
    return numbers


@needs_weaver
@pytest.mark.slow
def test_weaver_takes_the_registry(folder):
    """`weaver registry check` has nothing to say against it."""
    command = [weaver, "registry", "check", "-r", "conventions/model"]
    ended = subprocess.run(
        command, cwd=folder, timeout=TIMEOUT, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@needs_weaver
@pytest.mark.slow
def test_weaver_finds_nothing_wrong_with_what_runs_emit(folder, monkeypatch):
    """`weaver registry live-check` ends with 0, which it does where there is no violation.

    The report is not asked for over HTTP: how that is done is not the same in all its versions.
    """
    with RequestReceiver() as receiver:
        everything(receiver.http_url, monkeypatch)
    port, admin = ports(2)
    command = [
        weaver, "registry", "live-check", "-r", "conventions/model",
        "--otlp-grpc-port", str(port), "--admin-port", str(admin),
        "--inactivity-timeout", str(TIMEOUT),
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(TIMEOUT)
                for one in receiver.requests:
                    channel.unary_unary(SERVICES[type(one).__name__])(
                        one.SerializeToString(), timeout=TIMEOUT
                    )
            stop = urllib.request.Request(f"http://127.0.0.1:{admin}/stop", method="POST")
            urllib.request.urlopen(stop, timeout=TIMEOUT).close()
            said, _ = running.communicate(timeout=TIMEOUT)
        finally:
            running.kill()
    assert running.returncode == 0, said
