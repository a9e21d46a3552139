"""The page of a run, and the rows of its waterfall."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.elements import Element
from support.pages import Site, ago, rows, times

from dotflow.api import ApiServer

HOSTILE = "<script>alert('x')</script>\u202e\u0001&amp;\"'"
BEGIN = ago(hours=1)


def after(seconds: float) -> Any:
    return BEGIN + timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def site(served: ApiServer) -> Iterator[Site]:
    site = Site(served)
    with site.session:
        site.run("before", "etl", ago(days=1), "Failed", seconds=61.5)
        site.run("etl", "etl", BEGIN, "In progress", planned=4)
        first = {**times(after(0.5), after(2)), "Dotflow-Opens": "one"}
        assert site.call("POST", "/workflows/etl/tasks", json=_task(1), headers=first).ok
        assert site.call("POST", "/workflows/etl/tasks", json=_task(2), headers=times(after(2))).ok
        said = {"started_at": after(2), "finished_at": after(5), "attempts": ((2, 3), (4, 5))}
        error = {"attempt": 2, "exception": "OSError", "message": HOSTILE, "traceback": "T"}
        changed = {"status": "Failed", "retry_count": 1, "errors": [error]}
        header = _times(**said)
        answer = site.call("PATCH", "/workflows/etl/tasks/2", json=changed, headers=header)
        assert answer.ok, answer.text
        assert site.call("PATCH", "/workflows/etl/tasks/1", json={"status": "Completed"}).ok
        site.run("a/b%2F", HOSTILE, ago(hours=2), tasks=("Completed",))
        yield site


def _task(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"step {number}", "group_name": "g", "status": "In progress"}


def _times(*, attempts: Any = (), **moments: Any) -> dict[str, str]:
    said: dict[str, Any] = {name: moment.isoformat() for name, moment in moments.items()}
    said["attempts"] = [[after(one).isoformat() for one in attempt] for attempt in attempts]
    return {"Dotflow-Times": json.dumps(said)}


def figures(page: Element) -> dict[str, str]:
    (facts,) = page.all("dl", class_="figures")
    return dict(zip([one.text for one in facts.all("dt")], facts.all("dd"), strict=True))


def test_a_run_says_what_became_of_it(site):
    page = site.look("/runs/etl")
    assert page.one("head").one("title").text == "etl · In progress · dotflow"
    assert page.one("h1").text == "etl"
    facts = figures(page)
    assert facts["Started"].one("time")["datetime"].startswith(f"{BEGIN:%Y-%m-%dT%H:%M:%S}")
    assert facts["Duration"].one("span", class_="ticking")
    assert facts["Tasks"].one("svg")["aria-label"] == "1 Completed, 1 Failed, 2 Not started"
    assert facts["Tasks"].one("a")["href"] == "/runs/etl?status=Failed#tasks"
    assert page.one("body")["data-events"] == "/events?workflow_id=etl"


def test_what_failed_is_at_the_top_with_its_error(site):
    (failed,) = site.look("/runs/etl").one("ul", class_="failures").all("li")
    assert failed.one("a")["href"] == "/runs/etl/tasks/2"
    assert (
        failed.one("span", class_="cause").text
        == "OSError <script>alert('x')</script>\ufffd&amp;\"'"
    )


def test_the_table_has_what_the_picture_has(site):
    page = site.look("/runs/etl")
    (table,) = page.all("table", class_="of-run")
    said = [[one.text for one in row.all("td")] for row in rows(table)]
    assert [(one[0], one[1], one[2], one[4]) for one in said] == [
        ("Completed", "1step 1", "g", "1.50 s"),
        ("Failed", "2step 22 attemptsOSError", "g", "3.00 s"),
        ("Not started", "3step", "g", "\N{EN DASH}"),
        ("Not started", "4step", "g", "\N{EN DASH}"),
    ]
    assert [one.text for one in page.one("section", id="tasks").one("nav").all("a")] == [
        "All 4", "Failed 1", "Completed 1", "Not started 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("status=Failed", [2]),
        ("status=Not+started", [3, 4]),
        ("after=2", [3, 4]),
        ("status=x", [1, 2, 3, 4]),
    ],
)
def test_the_table_is_filtered_and_paged_by_the_server(site, query, numbers):
    (table,) = site.look(f"/runs/etl?{query}").all("table", class_="of-run")
    assert [one["id"] for one in table.all("a")] == [f"task-{number}" for number in numbers]


def test_earlier_runs_of_the_workflow_are_linked_and_later_ones_are_not(site):
    kin = site.look("/runs/etl").one("section", id="kin")
    assert "/runs/before" in [one["href"] for one in kin.all("a")]
    first = site.look("/runs/before").one("section", id="kin")
    assert "/runs/etl" not in [one["href"] for one in first.all("a")]
    assert "first run" in first.text


def test_a_run_that_was_resumed_says_when(site):
    for name, moment in (("one", ago(hours=3)), ("two", ago(hours=2))):
        opened = {**times(moment), "Dotflow-Opens": name}
        body = {"id": "resumed", "name": "r", "status": "In progress"}
        call = ("POST", "/workflows") if name == "one" else ("PATCH", "/workflows/resumed")
        body = body if name == "one" else {"status": "In progress"}
        assert site.call(*call, json=body, headers=opened).ok
    page = site.look("/runs/resumed")
    assert page.one("a", class_="tag").text == "resumed"
    opened = rows(page.one("div", id="openings"))
    assert [one.one("time")["datetime"][:13] for one in opened] == [
        f"{ago(hours=hours):%Y-%m-%dT%H}" for hours in (3, 2)
    ]
    # The process of the first was killed: the second goes on, and says nothing of the first's end.
    states = [one.one("span", class_="status").text for one in opened]
    assert states == ["No end", "In progress"]
    began = (ago(hours=2) - ago(hours=3)) / timedelta(milliseconds=1)
    assert site.get("/runs/resumed/rows").json()["openings"] == [0, began]


def test_the_link_to_the_trace_is_made_from_the_variable(site, monkeypatch):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    body = {"id": "traced", "name": "t", "status": "In progress", "trace_id": trace}
    assert site.call("POST", "/workflows", json=body).ok
    monkeypatch.delenv("DOTFLOW_TRACE_URL", raising=False)
    assert not site.look("/runs/traced").all("a", class_="button")
    monkeypatch.setenv("DOTFLOW_TRACE_URL", "https://jaeger.example/trace/{trace_id}")
    link = site.look("/runs/traced").one("a", class_="button")
    assert link["href"] == f"https://jaeger.example/trace/{trace}"


def test_what_others_named_is_shown_as_text(site):
    page = site.look("/runs/a%2Fb%252F")
    assert not [one for one in page.all("script") if "src" not in one.attributes]
    assert not [one for one in page.walk() if "style" in one.attributes]
    assert page.one("h1").text == "<script>alert('x')</script>\ufffd&amp;\"'"
    assert page.one("section", class_="waterfall")["data-rows"] == "/runs/a%2Fb%252F/rows"


@pytest.mark.parametrize("address", ["/runs/nobody", "/runs/nobody/tasks/1", "/runs/etl/tasks/9"])
def test_what_there_is_not_is_said_in_words(site, address):
    assert "never reported" in site.look(address, 404).one("main").text


def test_the_rows_of_the_waterfall_count_from_the_beginning_of_the_run(site):
    said = site.get("/runs/etl/rows").json()
    assert said["base"] == pytest.approx(BEGIN.timestamp() * 1000, abs=0.01)
    assert said["rows"] == [
        [1, "step 1", "g", "Completed", 500, 2000, [], 0, None],
        [2, "step 2", "g", "Failed", 2000, 5000, [[2000, 3000], [4000, 5000]], 1, "OSError"],
        [3, "step", "g", "Not started", None, None, [], 0, None],
        [4, "step", "g", "Not started", None, None, [], 0, None],
    ]
    assert (said["status"], said["planned"], said["end"], said["next"]) == (
        "In progress",
        4,
        None,
        None,
    )
    assert said["now"] > 3_500_000


def test_rows_come_a_slice_at_a_time_or_those_that_changed(site):
    first = site.get("/runs/etl/rows?limit=2").json()
    assert ([one[0] for one in first["rows"]], first["next"]) == ([1, 2], 2)
    rest = site.get("/runs/etl/rows?limit=2&after=2").json()
    assert ([one[0] for one in rest["rows"]], rest["next"]) == ([3, 4], None)
    site.run("changing", "c", BEGIN, "In progress", tasks=("In progress", "In progress"), planned=3)
    seen = site.get("/runs/changing/rows").json()["seen"]
    later = {"limit": 100, "since": "2999-01-01T00:00:00+00:00"}
    assert site.call("GET", "/runs/changing/rows", params=later).json()["rows"] == []
    since = {"since": seen}
    changed = site.call("GET", "/runs/changing/rows", params=since).json()["rows"]
    assert [one[0] for one in changed] == [1, 2]


def test_whoever_has_no_token_gets_no_rows(site):
    assert site.call("GET", "/runs/etl/rows", headers={"X-User-Token": "no"}).status_code == 401


def test_a_run_that_was_deleted_is_gone(site):
    site.run("short", "s", BEGIN)
    assert site.get("/runs/short/rows").ok
    assert site.call("DELETE", "/workflows/short").ok
    assert site.get("/runs/short/rows").status_code == 404
    assert urlsplit(site.look("/runs/short", 404).one("a", class_="button")["href"]).path == "/"
