"""The list of runs, as a browser gets it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_client import TOKEN
from support.pages import Site, ago, names, rows

from dotflow.api import ApiServer

HOSTILE = "<script>alert('x')</script>\u202e\ud7ff \x01&amp;\"'"


@pytest.fixture(scope="module")
def site(served: ApiServer) -> Iterator[Site]:
    site = Site(served)
    with site.session:
        tasks = ("Completed", "Completed", "Failed", "In progress")
        site.run("now", "etl", ago(minutes=1), "In progress", tasks=tasks, planned=10)
        site.run("nobody's", None, ago(minutes=30), seconds=0.0081)
        site.run("a/b%2F", HOSTILE, ago(hours=2), "Failed", tasks=("Failed",),
                 errors={1: "no such table: Größe"})  # fmt: skip
        site.run("earlier", "etl", ago(days=3), seconds=61.5, tasks=("Completed",))
        yield site


def test_runs_are_listed_newest_first_with_what_became_of_them(site):
    page = site.look("/")
    assert page.one("head").one("title").text == "Runs · dotflow"
    assert [row.one("span", class_="status").text for row in rows(page)] == [
        "In progress", "Completed", "Failed", "Completed",
    ]  # fmt: skip
    assert names(page)[:2] == ["etl", "(no name)"]
    durations = [row.one("td", class_="of-duration").text for row in rows(page)]
    assert durations[1:] == ["8.1 ms", "1.00 s", "1 min 02 s"]
    first = rows(page)[0]
    assert first.one("svg")["aria-label"] == ("2 Completed, 1 Failed, 1 In progress, 6 Not started")
    assert first.one("span", class_="counts").text == "2/10 1 failed"
    assert first.one("span", class_="ticking")["data-since"] == first.one("time")["datetime"]


def test_the_time_of_a_run_is_its_own(site):
    shown = rows(site.look("/"))[3].one("time")
    assert shown["datetime"].startswith(ago(days=3).strftime("%Y-%m-%dT%H:%M:%S"))
    site.run("untimed", "untimed")
    shown = rows(site.look("/?name=untimed"))[0].one("time")
    assert shown["title"].startswith("Received ")
    assert site.call("DELETE", "/workflows/untimed").ok


def test_what_others_named_is_shown_as_text(site):
    page = site.look("/?status=Failed")
    assert not [one for one in page.all("script") if "src" not in one.attributes]
    assert names(page) == ["<script>alert('x')</script>\ud7ff \ufffd&amp;\"'"]
    assert rows(page)[0].one("a", class_="cover")["href"] == "/runs/a%2Fb%252F"


def test_the_first_failed_task_is_one_click_away(site):
    found = [row.all("a", class_="why") for row in rows(site.look("/"))]
    assert [len(one) for one in found] == [1, 0, 1, 0]
    assert found[2][0].text == "step E"
    assert found[2][0]["href"] == "/runs/a%2Fb%252F/tasks/1"
    assert found[0][0]["href"] == "/runs/now/tasks/3"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("status=Failed&status=In+progress", 2),
        ("name=etl", 2),
        ("name=et", 0),
        ("text=GR%C3%96%C3%9FE", 1),
        ("text=such+table", 1),
        ("text=EARLI", 1),
        ("within=24h", 3),
        ("within=24h&name=etl", 1),
        ("since=7d&until=1d", 1),
        ("within=1h&since=7d", 2),
        ("until=" + ago(hours=1).strftime("%Y-%m-%dT%H:%MZ"), 2),
        ("status=&name=&text=&within=&since=", 4),
    ],
)
def test_the_server_filters(site, asked, expected):
    page = site.look(f"/?{asked}")
    assert len(rows(page)) == expected
    if not expected:
        assert page.one("div", class_="empty").one("h2").text == "No run matches"


def test_a_filter_stays_in_the_form_and_in_what_is_asked_for_anew(site):
    page = site.look("/?status=Failed&text=%22table&within=3d&since=2026-01-02T03:04Z")
    assert page.one("head").one("title").text == 'Runs: Failed, "table · dotflow'
    boxes = page.all("input", type="checkbox")
    assert [one["value"] for one in boxes if "checked" in one.attributes] == ["Failed"]
    assert page.one("input", name="text")["value"] == '"table'
    chosen = [one["value"] for one in page.all("option") if "selected" in one.attributes]
    assert chosen == ["3d"]
    assert page.one("input", name="since")["value"] == "2026-01-02T03:04"
    assert page.one(id="runs")["hx-get"] == (
        "/?status=Failed&text=%22table&within=3d&since=2026-01-02T03%3A04Z"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [("since=soon", "24h"), ("within=2026-01-01", "24h"), ("status=Lost", "In progress"),
     ("after=%00", "newest"), ("until=9999-12-31T23:59-23:59", "24h")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_with_what_can(site, asked, words):
    page = site.look(f"/?{asked}", status=422)
    assert words in page.one("p", class_="fault").text


def test_older_runs_are_pages_that_follow_each_other(site):
    for number in range(103):
        site.run(f"many {number}", "many", ago(minutes=number))
    address, found, pages = "/?name=many", [], 0
    while address:
        page = site.look(address)
        found += [row.one("bdi", class_="id").text for row in rows(page)]
        more = page.all("nav", class_="pager")
        address = more[0].one("a")["href"] if more else ""
        pages += 1
    assert found == [f"many {number}" for number in range(103)]
    assert pages == 3


def test_nothing_on_a_page_is_inline_or_from_elsewhere(site):
    for address in ("/", "/trends", "/trends/etl"):
        page = site.look(address)
        for one in page.walk():
            assert not {key for key in one.attributes if key == "style" or key.startswith("on")}
            for key in ("src", "href", "action", "hx-get"):
                assert one.attributes.get(key, "/").startswith(("/", "#"))
        loaded = [one["src"] for one in page.all("script")]
        loaded += [one["href"] for one in page.all("link")]
        for file in loaded:
            answer = site.session.get(site.server.url + file, headers={"X-User-Token": ""})
            assert answer.ok
            assert "immutable" in answer.headers["Cache-Control"]


def test_an_address_that_there_is_not_is_a_page_for_people_and_json_for_programs(site):
    assert "cut off" in site.look("/rnus", status=404).one("main").text
    assert site.get("/rnus").json() == {"detail": "Not Found"}
    assert site.call("GET", "/workflows/none", headers={"Accept": "text/html"}).status_code == 404


def test_a_file_of_another_version_is_asked_for_again(site):
    answer = site.get("/static/before/page.css")
    assert answer.headers["Cache-Control"] == "no-cache"
    seen = {"If-None-Match": answer.headers["ETag"]}
    assert site.call("GET", "/static/before/page.css", headers=seen).status_code == 304
    for path in ("none.css", "..%2f__init__.py", "../site.py", "vendor"):
        assert site.get(f"/static/x/{path}").status_code == 404


def test_an_empty_server_says_how_to_report_and_a_broken_one_that_it_tries_again(tmp_path: Path):
    file = tmp_path / "records.db"
    with ApiServer(f"sqlite:///{file}", TOKEN) as server:
        site = Site(server)
        empty = site.look("/")
        assert f"DOTFLOW_SERVER_URL={server.url}" in empty.one("pre").text
        with sqlite3.connect(file) as database:
            database.execute("DROP TABLE workflows")
        database.close()
        assert "does not answer" in site.look("/", status=503).one("main").text
        site.session.close()
