"""The examples of programs that serve: FastAPI, Celery, Kubernetes, each as it stands."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest
import requests
import yaml
from examples_support import EXAMPLES, TIME
from support.notices import Webhook

from dotflow.api import ApiServer

pytestmark = pytest.mark.slow  # each starts programs

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SERVER = 2  # a kind of span
SCRIPTS = Path(sys.executable).parent


def test_fastapi(serve, otlp, until):
    """The caller's span, the request's and those of the background run are one trace."""
    command = [SCRIPTS / "uvicorn", "--app-dir", EXAMPLES, "fastapi_app:app", "--port", "0"]
    with serve(*command) as server:
        [port] = until(lambda: re.findall(r"127\.0\.0\.1:(\d+)", server.log.read_text()))
        answer = requests.post(
            f"http://127.0.0.1:{port}/orders/7",
            headers={"traceparent": f"00-{CALLER}-{SPAN}-01"},
            timeout=TIME,
        )
        names = {"fulfilment", "charge", "attempt", "ship"}
        until(lambda: {span.name for span in otlp.spans} > names)
        until(lambda: request_of(otlp.spans))
    assert answer.status_code == 202
    assert answer.json()["trace_id"] == CALLER
    assert {span.trace_id for span in otlp.spans} == {CALLER}
    request = request_of(otlp.spans)
    assert (request.parent_id, request.name) == (SPAN, "POST /orders/{order}")
    spans = {span.name: span for span in otlp.spans}
    assert {spans[name].parent_id for name in ("charge", "ship")} == {spans["fulfilment"].span_id}


def request_of(spans):
    """The request's span, which the run is below; FastAPI may have others between."""
    by_id = {span.span_id: span for span in spans}
    [above] = {span.span_id: span for span in spans if span.name == "fulfilment"}.values()
    while above is not None and above.kind != SERVER:
        above = by_id.get(above.parent_id)
    return above


def test_celery(serve, run, spans_of, tmp_path, monkeypatch):
    """A job that a prefork worker took is in the trace of who sent it, and has left."""
    monkeypatch.setenv("BROKER_FOLDER", str(tmp_path / "broker"))
    command = ["-A", "celery_worker", "worker", "--concurrency", "1", "--pool", "prefork"]
    with serve(SCRIPTS / "celery", "--workdir", EXAMPLES, *command) as worker:
        trace = run(EXAMPLES / "celery_worker.py", "2026-11-27").strip()
        spans = spans_of("ask for a report", "report", "gather", "total")
        assert worker.poll() is None
    assert {span.trace_id for span in spans.values()} == {trace}
    assert spans["report"].parent_id == spans["ask for a report"].span_id
    assert spans["total"].parent_id == spans["report"].span_id


def test_kubernetes(serve, until, tmp_path, monkeypatch):
    """SIGTERM is in the records, and people are told, before the pod is gone; the next pod does
    only what is left."""
    job = yaml.safe_load((EXAMPLES / "kubernetes" / "job.yaml").read_text())
    [pod] = job["spec"]["template"]["spec"]["containers"]
    words = {one["name"]: one.get("value") for one in pod["env"]}
    assert words["SERVER_USER_TOKEN"] is None  # it comes from the secret
    words["DOTFLOW_FLUSH_TIMEOUT"] = str(TIME)
    with ApiServer(f"sqlite:///{tmp_path}/api.db", "t") as api, Webhook() as hook:
        words |= {"SERVER_BASE_URL": api.url, "SERVER_USER_TOKEN": "t"}
        words["DOTFLOW_NOTIFY_URLS"] = hook.url
        for name, value in words.items():
            monkeypatch.setenv(name, value.replace("/data", str(tmp_path / "data")))
        _post(api, "workflows", {"id": words["WORKFLOW_ID"], "status": "New"})
        command = [SCRIPTS / pod["command"][0], *pod["command"][1:]]
        folder = EXAMPLES / "kubernetes"
        with serve(*command, cwd=folder) as first:
            until((tmp_path / "data" / "results" / "transforming").exists)
            first.send_signal(signal.SIGTERM)
            assert first.wait(TIME) == 143, first.log.read_text()
        assert _statuses(api, words["WORKFLOW_ID"]) == {
            "workflow": "Failed", "extract": "Completed", "transform": "Failed",
        }  # fmt: skip
        told = {one["title"]: one["message"] for one in hook.wait_for(2)}
        assert set(told) == {"nightly: task transform failed", "nightly failed"}
        assert all("interrupted by SIGTERM" in message for message in told.values())
        monkeypatch.setenv("TRANSFORM_SECONDS", "0")
        with serve(*command, cwd=folder) as second:
            assert second.wait(TIME) == 0, second.log.read_text()
        assert set(_statuses(api, words["WORKFLOW_ID"]).values()) == {"Completed"}
    assert (tmp_path / "data" / "results" / "extracted").read_text() == "once\n"


def _post(api, path, body):
    answer = requests.post(
        f"{api.url}/{path}", json=body, headers={"Authorization": "Bearer t"}, timeout=TIME
    )
    assert answer.status_code == 201, answer.text


def _statuses(api, workflow):
    def get(path):
        headers = {"Authorization": "Bearer t"}
        return requests.get(f"{api.url}/workflows/{path}", headers=headers, timeout=TIME).json()

    tasks = {one["name"]: one["status"] for one in get(f"{workflow}/tasks")["tasks"]}
    return {"workflow": get(workflow)["status"], **tasks}
