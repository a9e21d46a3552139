"""The page of a task."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from support.elements import Element
from support.pages import Site, ago, times

from dotflow.api import ApiServer

BEGIN = ago(hours=1)
HOSTILE = "</pre><script>alert(1)</script>\u202e\u0001"
TRACEBACK = "Traceback (most recent call last):\n  File 'etl.py', line 4\nValueError"
LARGE = "/runs/etl/tasks/3"


@pytest.fixture(scope="module")
def site(served: ApiServer) -> Iterator[Site]:
    site = Site(served)
    with site.session:
        site.run("etl", HOSTILE, BEGIN, "In progress", planned=5)
        path = "/workflows/etl"
        body = {"id": 1, "name": "clean", "group_name": "g", "initial_context": {"a": [1]}}
        assert site.call("POST", f"{path}/tasks", json=body, headers=times(BEGIN)).ok
        errors = [
            {"attempt": 1, "exception": "OSError", "message": "no network", "traceback": TRACEBACK},
            {
                "attempt": None,
                "exception": "ValueError",
                "message": HOSTILE,
                "traceback": TRACEBACK,
            },
        ]
        change = {
            "status": "Failed",
            "retry_count": 1,
            "errors": errors,
            "current_context": HOSTILE,
        }
        moments = [(BEGIN + timedelta(seconds=one)).isoformat() for one in (0, 1, 3, 5)]
        said = {"started_at": moments[0], "finished_at": moments[3]}
        said["attempts"] = [moments[:2], moments[2:]]
        header = {"Dotflow-Times": json.dumps(said)}
        assert site.call("PATCH", f"{path}/tasks/1", json=change, headers=header).ok
        site.task(path, 2, status="In progress")
        site.task(path, 3, status="Completed", initial_context=["line"] * 10_000)
        yield site


def contexts(page: Element) -> dict[str, Element]:
    return {one["id"]: one for one in page.all("details") if one["id"].endswith("_context")}


def test_a_task_says_when_it_ran_and_how_it_ended(site):
    page = site.look("/runs/etl/tasks/1")
    assert page.one("head").one("title").text.startswith("clean · Failed · </pre><script>")
    assert page.one("h1").text == "clean"
    facts = page.one("dl", class_="figures")
    said = dict(zip([one.text for one in facts.all("dt")], facts.all("dd"), strict=True))
    assert said["Started"].one("time")["datetime"].startswith(f"{BEGIN:%Y-%m-%dT%H:%M:%S}")
    assert (said["Duration"].text, said["Attempts"].text) == ("5.00 s", "2")


def test_errors_come_last_one_first_with_their_tracebacks_folded(site):
    last, first = site.look("/runs/etl/tasks/1").all("article", class_="error")
    assert last.one("b").text == "ValueError"
    assert first.one("p", class_="message").text == "no network"
    assert "open" not in last.one("details").attributes
    assert last.one("summary").text == "Traceback 3 lines"
    assert "line 4" in last.one("pre").text


def test_attempts_lie_where_they_were_in_time(site):
    table = site.look("/runs/etl/tasks/1").one("table", class_="of-attempts")
    bars = [(float(one["x"]), float(one["width"])) for one in table.all("rect", class_="share")]
    assert bars == [(0, 20), (60, 40)]
    assert [one.text for one in table.all("td", class_="of-error")] == ["OSError", "ValueError"]


def test_contexts_are_shown_as_text_and_large_ones_are_folded_and_cut(site):
    page = site.look("/runs/etl/tasks/1")
    found = contexts(page)
    assert found["current_context"].one("pre").text == "</pre><script>alert(1)</script>\u202e\ufffd"
    assert found["initial_context"].one("pre").text == '{ "a": [ 1 ] }'
    assert "open" in found["initial_context"].attributes
    assert "previous_context" not in found
    assert not [one for one in page.all("script") if "src" not in one.attributes]
    large = contexts(site.look(LARGE))["initial_context"]
    assert "open" not in large.attributes
    assert len(large.one("pre").text) < 30_000
    whole = site.get(large.one("a")["href"])
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(whole.text) == ["line"] * 10_000


def test_a_task_says_which_span_it_is(site):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    site.run("traced", "traced", BEGIN, "In progress")
    for number, said in ((7, f"00-{trace}-{span}-01"), (8, f"00-{trace}-{'0' * 16}-01"), (9, "x")):
        header = {"traceparent": said, **times(BEGIN)}
        body = {"id": number, "name": "traced"}
        assert site.call("POST", "/workflows/traced/tasks", json=body, headers=header).ok
    facts = site.look("/runs/traced/tasks/7").one("dl", class_="facts")
    assert {trace, span} <= {one.text for one in facts.all("code")}
    for number in (8, 9):
        facts = site.look(f"/runs/traced/tasks/{number}").one("dl", class_="facts")
        assert "Span" not in [one.text for one in facts.all("dt")]


def test_all_errors_are_to_be_had_as_text(site):
    assert len(json.loads(site.get("/runs/etl/tasks/1/errors").text)) == 2
    assert site.get("/runs/etl/tasks/1/nothing").status_code == 404


@pytest.mark.parametrize(
    ("task", "beside"), [(1, [2]), (2, [1, 3]), (4, [3, 5]), (5, [4])]
)  # fmt: skip
def test_the_tasks_beside_it_are_linked(site, task, beside):
    nav = site.look(f"/runs/etl/tasks/{task}").one("nav", class_="beside")
    assert [one["href"] for one in nav.all("a")] == [f"/runs/etl/tasks/{one}" for one in beside]


@pytest.mark.parametrize(
    ("task", "status", "words"),
    [
        (5, "In progress", "has not begun"),
        (5, "Failed", "never began"),
        (2, "Failed", "how this task ended"),
    ],
)
def test_what_did_not_end_is_said_in_words(site, task, status, words):
    assert site.patch("/workflows/etl", {"status": status}).ok
    page = site.look(f"/runs/etl/tasks/{task}")
    assert words in page.one("p", class_="hint").text


def test_a_value_that_cannot_be_set_out_is_shown_as_it_is(site):
    deep: Any = "[" * 90 + "]" * 90
    site.task("/workflows/etl", 6, status="Completed", initial_context=json.loads(deep))
    shown = contexts(site.look("/runs/etl/tasks/6"))["initial_context"].one("pre").text
    assert shown.replace(" ", "") == deep
