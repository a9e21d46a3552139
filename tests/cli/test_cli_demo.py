"""`dotflow demo`: a real pipeline, its trace and its records."""

from __future__ import annotations

import json
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support.otlp import OtlpReceiver

import dotflow
from dotflow.api import ApiServer
from dotflow.cli.setup import Command

EXAMPLE = Path(dotflow.__file__).parent.parent / "examples" / "penguins.py"
NAMES = ["fetch", "clean", "summarise"] * 3


@pytest.fixture
def demo_json(capsys):
    """Runs `dotflow demo --json`; the exit status and the object."""

    def run():
        status = Command(["demo", "--json"]).run()
        return status, json.loads(capsys.readouterr().out)

    return run


def test_json_has_the_run_as_dotflow_api_has_it(demo_json):
    """One object, with every field, of a run that completed and was delivered."""
    status, found = demo_json()
    assert status == 0
    assert set(found) == {
        "workflow_id", "trace_id", "trace_url", "status", "tasks", "spans_exported",
        "messages_delivered", "messages_pending", "api_url",
    }  # fmt: skip
    assert found["status"] == "Completed"
    assert found["trace_id"] == found["workflow_id"].replace("-", "")
    assert found["trace_url"] is None
    assert found["messages_pending"] == found["spans_exported"] == 0
    assert found["messages_delivered"] >= 20
    assert [task["name"] for task in found["tasks"]] == NAMES
    assert [task["id"] for task in found["tasks"]] == list(range(1, 10))
    assert {task["status"] for task in found["tasks"]} == {"Completed"}
    assert [task["retry_count"] for task in found["tasks"]] == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert all(task["duration"] > 0 for task in found["tasks"])
    assert len({task["span_id"] for task in found["tasks"]}) == 9
    assert all(len(task["span_id"]) == 16 for task in found["tasks"])


@pytest.mark.slow
def test_spans_go_to_the_endpoint_that_is_configured(demo_json, monkeypatch):
    """With an OTLP endpoint the trace is there too, and the ids are the same."""
    with OtlpReceiver() as otlp:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
        monkeypatch.setenv("DOTFLOW_TRACE_URL", "https://jaeger/trace/{trace_id}")
        status, found = demo_json()
        spans = otlp.wait_for(14)
    assert status == 0
    assert found["trace_url"] == f"https://jaeger/trace/{found['trace_id']}"
    assert found["spans_exported"] == len(spans) == 14  # a root, 9 tasks, 4 attempts to fetch
    assert {span.trace_id for span in spans} == {found["trace_id"]}
    of_tasks = {span.span_id for span in spans if span.name in NAMES}
    assert of_tasks == {task["span_id"] for task in found["tasks"]}


@pytest.mark.slow
def test_a_configured_dotflow_api_gets_the_records(demo_json, monkeypatch, tmp_path):
    """With a server in the environment none is started."""
    with ApiServer(f"sqlite:///{tmp_path}/own.db", "t") as api:
        monkeypatch.setenv("DOTFLOW_SERVER_URL", api.url)
        monkeypatch.setenv("DOTFLOW_USER_TOKEN", "t")
        status, found = demo_json()
        answer = requests.get(
            f"{api.url}/workflows/{found['workflow_id']}", headers={"X-User-Token": "t"}, timeout=10
        )
    assert status == 0
    assert found["api_url"] == api.url
    assert answer.json()["name"] == "penguins"
    assert not (tmp_path / ".output").exists()


@pytest.mark.slow
def test_the_status_is_not_zero_where_a_report_was_not_delivered(demo_json, monkeypatch):
    """A server that is away costs the exit status, not the run."""
    monkeypatch.setattr("dotflow.cli.commands.demo.FLUSH_TIMEOUT", 0.3)
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.3")
    monkeypatch.setenv("DOTFLOW_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", "t")
    status, found = demo_json()
    assert status == 1
    assert found["status"] == "Completed"
    assert found["messages_delivered"] == 0
    assert found["messages_pending"] > 0
    assert [task["name"] for task in found["tasks"]] == NAMES


@pytest.mark.slow
def test_people_see_the_trace_the_records_and_where_to_look(capsys, monkeypatch):
    """The page has the waterfall with the failed attempt, the records, and the next step."""
    monkeypatch.setenv("COLUMNS", "140")
    assert Command(["demo"]).run() == 0
    page = capsys.readouterr().out
    for expected in (
        "Trace ", "penguins", "Gentoo", "attempt 2", "━", "ChunkedEncodingError",
        "Records of workflow ", "workflow penguins: Completed", "0 pending",
        "fails on purpose", "summarise: StatisticsError: mean requires",
        "dotflow api --database sqlite:///", "demo --serve", "OTEL_EXPORTER_OTLP_ENDPOINT=",
    ):  # fmt: skip
        assert expected in page
    # What was there for the demo is there no more: the page is where `dotflow api` will show it.
    assert re.findall(r"http://127.0.0.1:(\d+)", page) == ["8000"]
    assert "http://localhost" not in page


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_page_fits_the_terminal(columns, capsys, monkeypatch):
    """No line of the trace or the records is cut where the terminal is narrow."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert Command(["demo"]).run() == 0
    trace, _, records = capsys.readouterr().out.partition("Records of ")
    table = [line for line in records.splitlines() if " Completed " in line and line[:1].isdigit()]
    assert len(table) == 9
    for line in trace.splitlines() + ([] if columns >= 120 else table):
        assert len(line) <= columns
        assert "…" not in line
    for expected in ("ChunkedEncodingError", "✓ Completed, 2 attempts", "━"):
        assert expected in trace
    lines = [line.rstrip() for line in trace.splitlines()]
    groups = [lines.index(f"  {name}") for name in ("Adelie", "Chinstrap", "Gentoo")]
    assert groups == sorted(groups)  # each once, above its tasks


def test_what_did_not_go_well_is_named(capsys, monkeypatch):
    """The page says which way was closed, and shows the trace all the same."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("dotflow.cli.commands.demo.FLUSH_TIMEOUT", 0.3)
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.3")
    monkeypatch.setenv("DOTFLOW_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", "t")
    assert Command(["demo"]).run() == 1
    page = capsys.readouterr().out
    assert "They cannot be read back: the server does not answer." in page
    assert "Not all reports reached dotflow-api at http://127.0.0.1:9." in page
    assert "Gentoo" in page


@pytest.mark.slow
def test_a_collector_that_is_away_is_named(capsys, monkeypatch):
    """Spans that did not leave cost the exit status too."""
    monkeypatch.setattr("dotflow.cli.commands.demo.FLUSH_TIMEOUT", 1.0)
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.3")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    assert Command(["demo"]).run() == 1
    assert "Not all spans reached the OTLP endpoint." in capsys.readouterr().out


@pytest.mark.slow
def test_the_console_script_runs_it(tmp_path):
    """The installed command does the same, from any folder."""
    script = Path(sys.executable).with_name("dotflow")
    done = subprocess.run(
        [script, "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "Completed"
    assert done.stderr == ""
    assert (tmp_path / ".output" / "dotflow-demo.db").exists()


@pytest.mark.slow
def test_the_example_runs_by_itself(capsys, monkeypatch):
    """`python examples/penguins.py` prints a summary of each species."""
    monkeypatch.setenv("DOTFLOW_SERVER", "")
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program, str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("'")[3] for line in done.stdout.splitlines()] == [
        "Adelie", "Chinstrap", "Gentoo",
    ]  # fmt: skip


def test_the_example_counts_what_the_data_have():
    """The pipeline's figures are those of the published data set."""
    example = runpy.run_path(str(EXAMPLE), run_name="penguins")
    with example["Mirror"]() as mirror:
        flow = example["pipeline"](mirror.url)
        flow.start(mode="sequential_group")
    summaries = flow.result_storage()[2::3]
    assert [one["birds"] for one in summaries] == [146, 68, 119]
    assert [one["birds"] + one["dropped"] for one in summaries] == [152, 68, 124]
    assert summaries[2]["mean"]["mass_g"] == 5092.4


@pytest.mark.slow
def test_served_runs_stay_on_their_pages(spawn):
    """With --serve both runs are shown until Ctrl-C, and the exit status says that all was well."""
    demo = spawn("demo", "--serve")
    page = "".join(iter(demo.stdout.readline, "Ctrl-C ends it.\n"))
    urls = re.findall(r"http://127.0.0.1:\d+/runs/[0-9a-f-]{36}", page)
    found = [
        requests.get(url.replace("/runs/", "/workflows/"), timeout=30).json()["status"]
        for url in urls
    ]
    assert found == ["Completed", "Failed"]
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=60)
    assert (demo.returncode, rest) == (0, "")
