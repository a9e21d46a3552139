"""`dotflow ui`: the page of this machine's runs, while it is wanted."""

from __future__ import annotations

import re
import signal
import tempfile
from pathlib import Path

import pytest
import requests

pytestmark = pytest.mark.slow


def test_the_page_is_there_until_it_is_ended(command, spawn, tmp_path, monkeypatch):
    """It says where it is, shows a run that nobody was told of, changes nothing, leaves nothing."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ran = spawn("start", "--server", "otel", "--workflow", "{}:failing")
    ran.communicate(timeout=60)
    page = spawn("ui")
    url = re.search(r"http://127.0.0.1:\d+", page.stdout.readline()).group()
    # The page fills while the log is read.
    while (runs := _runs(url)) == [] or runs[0]["status"] == "In progress":
        assert page.poll() is None
    assert [(run["name"], run["status"]) for run in runs] == [("failing", "Failed")]
    assert "failing" in requests.get(f"{url}/", timeout=30).text
    for method, path in (
        ("POST", "/workflows"), ("PATCH", f"/workflows/{runs[0]['id']}"), ("POST", "/bulk"),
        ("DELETE", f"/workflows/{runs[0]['id']}"),
    ):  # fmt: skip
        answer = requests.request(method, f"{url}{path}", json={"status": "New"}, timeout=30)
        assert answer.status_code in (404, 405)
    assert list(tmp_path.glob("dotflow-ui-*"))
    page.send_signal(signal.SIGTERM)
    rest, _ = page.communicate(timeout=60)
    assert (page.returncode, rest) == (0, "")
    assert not list(tmp_path.glob("dotflow-ui-*"))


def _runs(url):
    return requests.get(f"{url}/workflows", timeout=30).json()["workflows"]


def test_a_port_that_is_taken_is_named(spawn):
    """The second one on a port says so in a line."""
    first = spawn("ui")
    number = re.search(r"127.0.0.1:(\d+)", first.stdout.readline()).group(1)
    second = spawn("ui", "--port", number)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{number}" in said
    assert "Traceback" not in said
    assert Path(tempfile.gettempdir()).exists()
