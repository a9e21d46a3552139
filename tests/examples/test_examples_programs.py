"""The examples of programs that end: cron, Lambda, a notebook, Sentry, each as it stands."""

from __future__ import annotations

import gzip
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbclient
import nbformat
import pytest
from examples_support import EXAMPLES, TIME
from support.notices import Webhook

pytestmark = pytest.mark.slow  # each starts programs

DOCS = EXAMPLES.parent / "docs"
PICTURE = DOCS / "pages" / "notebook.svg"
"""What docs/guides/notebooks.md shows of the notebook."""


def test_cron(run, otlp, tmp_path):
    """With no environment but what the crontab says; a day that failed is told of, and then does
    only what is left."""
    closed = tmp_path / "etl" / "warehouse-is-closed"
    closed.parent.mkdir()
    closed.touch()
    with Webhook() as hook:
        crontab = {
            "ETL_FOLDER": str(closed.parent), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin",
            "DOTFLOW_NOTIFY_URLS": hook.url, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url,
            "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
        }  # fmt: skip
        words = (EXAMPLES / "cron_job.py", "2026-11-27")
        run(*words, status=1, env=crontab, cwd="/")
        told = [one["title"] for one in hook.wait_for(2)]
        assert told == ["nightly: task load failed", "nightly failed"]
        assert "the warehouse is closed" in hook.received[1]["message"]
        closed.unlink()
        run(*words, env=crontab, cwd="/")
        assert hook.asked == 2
    assert (closed.parent / "exports").read_text() == "2026-11-27\n"
    roots = {one.span_id: one for one in otlp.spans if one.name == "nightly"}.values()
    assert [root.attributes["dotflow.workflow.status"] for root in roots] == ["Failed", "Completed"]


def test_lambda(spans_of, tmp_path):
    """When the handler has returned all is there, though its process never does anything more."""
    program = (
        "import lambda_handler, os, signal\n"
        "print(lambda_handler.handler({'city': 'Lisbon'}, lambda_handler.Local()), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(EXAMPLES), "DOTFLOW_STATE_DIR": str(tmp_path / "tmp")},
        capture_output=True, text=True, timeout=TIME, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "'words': 'It is 21 degrees in Lisbon.'" in done.stdout
    assert "'all_has_left': True" in done.stdout
    spans_of("describe", "measure", "weather")


def test_notebook(otlp, tmp_path):
    """Each cell runs in a kernel, and its runs are traces that have left before the kernel ends."""
    book = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(
        book, timeout=TIME, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [one.get("text") or one["data"]["text/plain"]
               for cell in book.cells for one in cell.get("outputs", ())]  # fmt: skip
    assert outputs[0] == "5 values\n"
    assert "Completed" in outputs[1]
    shown = [one.get("data", {}) for cell in book.cells for one in cell.get("outputs", ())]
    (picture,) = [one["text/html"] for one in shown if "text/html" in one]
    assert picture.count("<rect") == 3
    assert ">mean</text>" in picture
    drawn = re.search(r"<svg.*?</svg>", picture, re.DOTALL)[0]
    drawn = drawn.replace("<svg ", '<svg style="background:#fff;color:#1f2328" ', 1) + "\n"
    (tmp_path / PICTURE.name).write_text(drawn, encoding="utf-8")
    words = runpy.run_path(str(DOCS / "draw.py"))["words"]
    kept = PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
    assert words(kept) == words(drawn), f"put {tmp_path / PICTURE.name} into {PICTURE.parent}"
    assert outputs[2:4] == ["[[0, 1, 4, 9, 16], 6.0]", "[10, 20, 30]"]
    trace, complete = outputs[4].strip("()").split(", ")
    assert complete == "True"
    spans = [span for span in otlp.spans if span.trace_id == trace.strip("'")]
    assert {"explore", "sample", "mean"} <= {span.name for span in spans}
    assert len({span.span_id for span in otlp.spans if span.name == "several"}) == 1


class Sentry(ThreadingHTTPServer):
    """Takes the envelopes that Sentry's SDK sends."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Envelopes)
        self.events = []
        self.dsn = f"http://key@127.0.0.1:{self.server_port}/1"


class _Envelopes(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        _, *rest = body.splitlines()
        for head, item in zip(rest[::2], rest[1::2], strict=False):
            if json.loads(head)["type"] == "event":
                self.server.events.append(json.loads(item))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def test_own_provider_and_sentry(run, spans_of):
    """The spans are where the application's are, and the error in Sentry names the same trace."""
    with Sentry() as sentry:
        thread = threading.Thread(target=sentry.serve_forever, args=(0.02,))
        thread.start()
        try:
            env = os.environ | {"SENTRY_DSN": sentry.dsn}
            trace = run(EXAMPLES / "own_provider_sentry.py", env=env).strip()
        finally:
            sentry.shutdown()
            thread.join()
    spans = spans_of("close the month", "invoices", "load", "check")
    assert {span.trace_id for span in spans.values()} == {trace}
    assert {span.resource["service.name"] for span in spans.values()} == {"billing"}
    assert spans["invoices"].parent_id == spans["close the month"].span_id
    [event] = sentry.events
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    assert event["contexts"]["trace"]["trace_id"] == trace
    assert event["contexts"]["trace"]["span_id"] == spans["check"].span_id
