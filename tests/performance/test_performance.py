"""The benchmark measures what it says, and writes its page and its picture."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.figures import Figure, cases_of, figure_of, measure
from benchmarks.page import BEGIN, END, number, refreshed, table
from benchmarks.plot import draw
from benchmarks.rows import Row, Sizes, rows_of
from benchmarks.running import Case, Receivers, Result, environment_of, run_case

ROOT = Path(__file__).parents[2]
BOTH, PLAIN = Case("both", 10), Case("plain", 10)
ADDED = Row(
    "added", "both adds", "s", (BOTH, PLAIN), lambda one, base: one.run - base.run, "2",
    has_busy=True, picture="added",
)  # fmt: skip
FOUND = [{BOTH: Result(run=run, whole=1), PLAIN: Result(run=1, whole=1)} for run in (9.0, 3.0, 4.0)]


@pytest.fixture(scope="module")
def receivers():
    with Receivers() as one:
        yield one


def _send(url, method, body, headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers), method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers, json.loads(answer.read() or "null")


def test_a_figure_pairs_what_ran_together():
    """A difference is made within each repetition, and its median has the spread beside it."""
    assert figure_of(ADDED, FOUND) == Figure(3.0, 2.0, 8.0, 3)


def test_a_row_that_was_not_measured_has_no_figure():
    """Without results of the busy cases there is no busy figure."""
    assert figure_of(ADDED, FOUND, is_busy=True) is None
    assert "| both adds | s | 3 | 2 to 8 |  |  | 2 |" in table([ADDED], FOUND)


def test_every_case_runs_once_a_repetition():
    """Rows share their cases, a busy thread doubles them, and long programs run less often."""
    long = Row("long", "long", "s", (Case("both", 1000), PLAIN), lambda one, _: one.run, most=1)
    ran = []

    def run(case):
        ran.append(case)
        return Result(run=1, whole=1)

    found = measure([ADDED, long], 2, run)
    busy = [replace(BOTH, is_busy=True), replace(PLAIN, is_busy=True)]
    assert len(ran) == 5 + 4
    assert set(found[0]) == {BOTH, PLAIN, *busy, Case("both", 1000)}
    assert set(found[1]) == {BOTH, PLAIN, *busy}
    assert cases_of([ADDED, long], 1, with_busy=False) == [BOTH, PLAIN]


def test_the_page_keeps_its_text():
    """Only what is between the marks is replaced, each time anew."""
    page = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    first = refreshed(page, "then", "| 1 |")
    assert first.startswith(f"above\n{BEGIN}\n\nthen\n")
    assert first.endswith(f"| 1 |\n\n{END}\nbelow\n")
    assert refreshed(first, "now", "| 2 |") == refreshed(page, "now", "| 2 |")
    with pytest.raises(ValueError, match="no lines"):
        refreshed("a page without marks", "now", "| 2 |")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (10001, "10,001"), (1234.5, "1,234"), (0.12345, "0.123"), (123.4, "123")],
)
def test_numbers(value, text):
    """A number has the digits that it is worth."""
    assert number(value) == text


def test_the_picture_has_a_bar_for_each_figure():
    """The picture is XML, with a bar as long as its median, and a line for the spread."""
    picture = ET.fromstring(draw([ADDED], FOUND))
    [line] = [one for one in picture if one.tag.endswith("line")]
    bars = [one for one in picture if one.tag.endswith("rect")]
    assert float(line.get("x2")) > float(line.get("x1"))
    assert float(bars[-1].get("width")) == pytest.approx((860 - 300 - 70) * 3 / 8, abs=0.1)


def test_a_case_says_only_what_it_needs(monkeypatch):
    """What the user's environment says of reporting reaches no case."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "the-user's")
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    plain = environment_of(Case("plain"), "http://receiver", "/folder")
    away = environment_of(Case("api", api="away", end="default"), "http://receiver", "/folder")
    assert {name for name in plain if name.startswith(("OTEL_", "DOTFLOW_"))} == {
        "DOTFLOW_STATE_DIR", "DOTFLOW_FLUSH_TIMEOUT"
    }  # fmt: skip
    assert away["DOTFLOW_SERVER_URL"] == "http://127.0.0.1:9"
    assert "DOTFLOW_FLUSH_TIMEOUT" not in away


def test_the_receivers_count_records_once(receivers):
    """A task that is posted and ended twice, in both dialects, is one task."""
    receivers.ask("reset")
    api = f"{receivers.url}/0/single"
    for _ in range(2):
        _, said = _send(f"{api}/workflows/w/tasks", "POST", {"id": 1, "status": "In progress"})
        _send(f"{api}/tasks/{said['id']}", "PATCH", {"status": "Completed"})
        _send(f"{api}/workflows/w/tasks/1", "PATCH", {"status": "Completed"})
    assert receivers.ask("stats") == {"spans": 0, "posted": 1, "ended": 1, "requests": 6}


def test_the_receivers_take_bulks(receivers):
    """A dotflow-api that takes bulks says so, and answers each call of one."""
    receivers.ask("reset")
    calls = [
        {"method": "POST", "path": "/workflows", "body": {"id": "w"}},
        {"method": "POST", "path": "/workflows/w/tasks", "body": {"id": 7}},
        {"method": "PATCH", "path": "/workflows/w/tasks/7", "body": {"status": "Failed"}},
    ]
    headers, said = _send(f"{receivers.url}/0/bulk/bulk", "POST", {"items": calls})
    silent, _ = _send(f"{receivers.url}/0/single/workflows", "POST", {"id": "w"})
    assert headers["Dotflow-Bulk"] == "500"
    assert silent["Dotflow-Bulk"] is None
    assert [item["status"] for item in said["items"]] == [201, 201, 200]
    assert receivers.ask("stats") == {"spans": 0, "posted": 1, "ended": 1, "requests": 4}


def test_the_receivers_count_spans_once(receivers):
    """A span that comes twice, packed or not, is one span; a reset forgets it."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(span_id=b"12345678")
    spans.add(span_id=b"87654321")
    body = request.SerializeToString()
    _send(f"{receivers.url}/v1/traces", "POST", body)
    packed = {"Content-Encoding": "gzip"}.items()
    _send(f"{receivers.url}/v1/traces", "POST", gzip.compress(body), packed)
    assert receivers.ask("stats")["spans"] == 2
    receivers.ask("reset")
    assert receivers.ask("stats")["spans"] == 0


@pytest.mark.parametrize("api", ["0/bulk", "20/single"])
def test_a_case_reports_what_it_should(receivers, api):
    """Runs with both on deliver each task's span and states; one run of a task is the warm-up's."""
    case = Case("both", 5, runs=2, api=api, end="flush")
    found = run_case(case, receivers, {"ours": Path(sys.executable)})
    assert (found.spans, found.posted, found.ended) == (2 * 6 + 2, 2 * 5 + 1, 2 * 5 + 1)
    assert found.whole > found.run > 0
    assert found.end_mb >= found.base_mb > 1
    assert found.warm_mb > 1


def test_growth_counts_from_half_of_the_runs_on():
    """The growth of dotflow-api is what the second half took, less what it took of plain runs."""
    rows = [row for row in rows_of(Sizes(500), with_upstream=False) if row.key == "growth"]
    api = Result(run=1, whole=1, base_mb=40, warm_mb=60, end_mb=61)
    plain = Result(run=1, whole=1, base_mb=20, warm_mb=30, end_mb=30.25)
    assert rows[-1].figure(api, plain) == pytest.approx(2 * 0.75)
    assert [case.runs * case.tasks for case in rows[-1].cases] == [100_000, 100_000]


def test_a_plain_case_reports_nothing(receivers):
    """A run that the others are compared with sends nothing."""
    found = run_case(Case("plain", 5, end="flush"), receivers, {"ours": Path(sys.executable)})
    assert (found.spans, found.requests) == (0, 0)


def test_a_case_that_fails_says_why(receivers):
    """A program that ends with an error is no measurement."""
    case = Case("plain", 5, mode="no-such-mode")
    with pytest.raises(RuntimeError, match=r"no-such-mode(.|\n)*ExecutionModeNotExist"):
        run_case(case, receivers, {"ours": Path(sys.executable)})


def test_upstream_adds_rows_only():
    """Without upstream's dotflow every row is there that does not compare with it."""
    alone, beside = ([row.title for row in rows_of(Sizes(1000), one)] for one in (False, True))
    assert set(alone) < set(beside)
    assert all("==" in title for title in set(beside) - set(alone))
    assert not any("==" in title for title in alone)


@pytest.mark.slow
def test_the_command_writes_the_page(tmp_path):
    """One command measures every row, and writes the table and the picture."""
    page = tmp_path / "performance.md"
    page.write_bytes((ROOT / "docs" / "performance.md").read_bytes())
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tasks", "2", "--repetitions", "1",
         "--docs", tmp_path, "--json", tmp_path / "all.json"],
        cwd=ROOT, capture_output=True, timeout=600, check=True,
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    for row in rows_of(Sizes(2), with_upstream=False):
        assert f"| {row.title} |" in text
    assert ET.parse(tmp_path / "performance.svg").getroot().tag.endswith("svg")
    cases = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert any(one["is_busy"] for one in cases)
