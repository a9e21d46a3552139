"""How workflows went of late: the overview, one workflow's page, and the picture in both."""

import re
from collections.abc import Iterator

import pytest
from support.pages import Site, ago, rows

from dotflow.api import ApiServer
from dotflow.api.reading import Past
from dotflow.api.web.assets import assets
from dotflow.api.web.plots import HEIGHT, WIDTH, plot, round_up
from dotflow.api.web.shares import NARROWEST, shares
from dotflow.api.web.shares import WIDTH as WHOLE
from dotflow.api.web.words import brief, even, lasting, shown
from dotflow.waterfall.colours import LOOKS


@pytest.fixture(scope="module")
def site(served: ApiServer) -> Iterator[Site]:
    site = Site(served)
    with site.session:
        for number, seconds in enumerate((10.0, 20.0, 30.0), 1):
            site.run(f"old {number}", "a/b?", ago(days=number), seconds=seconds)
        site.run("bad", "a/b?", ago(hours=5), "Failed", 2.0, tasks=("Failed",))
        site.run("now", "a/b?", ago(hours=2), "In progress")
        site.run("other", "other", ago(hours=3))
        site.run("nameless", None, ago(hours=3))
        yield site


def test_every_workflow_is_there_with_its_last_runs(site):
    page = site.look("/trends")
    assert [row.one("a").text for row in rows(page)] == ["a/b?", "other"]
    first = rows(page)[0]
    assert first.one("a")["href"] == "/trends/a%2Fb%3F"
    assert first.one("svg")["aria-label"] == (
        "5 runs: 3 completed, 1 failed; half took 20.00 s or less"
    )
    assert first.one("td", class_="of-share").text == "3/4"
    assert first.one("span", class_="status").text == "In progress"


def test_the_runs_of_a_workflow_are_a_picture_and_a_table(site):
    page = site.look("/trends/a%2Fb%3F")
    assert page.one("head").one("title").text == "a/b? · Trends · dotflow"
    figures = {one.one("dt").text: one.one("dd").text for one in page.one("dl").all("div")}
    assert figures == {
        "Runs": "5", "Completed": "75 %", "Failed": "1", "Median": "20.00 s", "Longest": "30.00 s",
    }  # fmt: skip
    bars = page.one("figure").all("a")
    assert [one["data-status"] for one in bars] == ["Completed"] * 3 + ["Failed", "In progress"]
    assert [one["href"] for one in bars][-2:] == ["/runs/bad", "/runs/now"]
    assert [row.one("a").text for row in rows(page)] == ["now", "bad", "old 1", "old 2", "old 3"]
    assert len(rows(site.look("/trends/a%2Fb%3F?last=2"))) == 2


def test_a_duration_may_be_any_number(site):
    site.run("endless", "endless", ago(hours=4), seconds=None)
    assert site.patch("/workflows/endless", {"duration": 1e308}).ok
    for address in ("/?name=endless", "/trends", "/trends/endless"):
        assert "11574074 d" in site.look(address).one("main").text
    assert site.call("DELETE", "/workflows/endless").ok


def test_a_workflow_that_never_ran_has_words(site):
    assert "never reported" in site.look("/trends/none", status=404).one("main").text
    assert "not complete" in site.look("/trends/other?last=0", status=422).one("main").text


def test_a_bar_is_as_high_as_the_run_took_long():
    past = [
        Past("a", "Completed", ago(days=2), 10.0), Past("b", "Failed", ago(days=1), 2.5),
        Past("c", "In progress", ago(hours=1), None), Past("d", "New", ago(hours=1), None),
    ]  # fmt: skip
    drawn = plot(past, columns=8)
    assert drawn.top == 10.0
    assert [one.height for one in drawn.bars] == [HEIGHT, 25.0, HEIGHT, 1.0]
    assert all(one.y + one.height == HEIGHT for one in drawn.bars)
    assert WIDTH / 2 < drawn.bars[0].x < drawn.bars[1].x
    assert drawn.bars[-1].x + drawn.bars[-1].width < WIDTH
    assert (drawn.level, drawn.ended, drawn.failed) == (0.0, 2, 1)


def test_a_scale_ends_with_a_round_number():
    for seconds, top, said in (
        (0, 0.001, "1 ms"), (0.41, 0.5, "500 ms"), (0.9, 1, "1 s"), (59, 60, "1 min"),
        (124, 180, "3 min"), (3601, 7200, "2 h"), (86401, 172800, "2 d"),
    ):  # fmt: skip
        assert round_up(seconds) == pytest.approx(top)
        assert even(round_up(seconds)) == said
    assert even(90) == "1 min 30 s"


def test_a_failed_task_of_ten_thousand_is_to_be_seen():
    parts = shares({"Completed": 9000, "Failed": 1}, planned=10_000)
    assert [(one.status, one.number) for one in parts] == [
        ("Completed", 9000), ("Failed", 1), ("Not started", 999),
    ]  # fmt: skip
    assert parts[1].width > NARROWEST * 0.9
    assert sum(one.width for one in parts) == pytest.approx(WHOLE, abs=0.1)
    assert shares({}) == []


def test_values_are_said_for_people():
    said = {0: "0.0 ms", 0.12: "120 ms", 3.4: "3.40 s", 59.96: "59.96 s", 125: "2 min 05 s",
            3720: "1 h 02 min", 97_200: "1 d 3 h"}  # fmt: skip
    assert {seconds: lasting(seconds) for seconds in said} == said
    assert lasting(None) == "\N{EN DASH}"
    assert brief("9ECE9636-1494-4f97-984a-0df41b72dd1a") == "9ECE9636"
    assert brief("orders\n2026-11") == "orders 2026-11"
    assert shown(" \u202e\t") == "(no name)"
    assert shown("\x1b[31m\ud800") == "\ufffd[31m\ufffd"


def test_the_style_has_the_colours_and_marks_of_all_pictures():
    style = assets.files["page.css"].content.decode()
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    for status, look in LOOKS.items():
        rule = rf'\[data-status="{status}"\][^{{]*{{ --colour: var\(--([a-z-]+)\); --mark: "(.)"'
        name, mark = re.search(rule, style).groups()
        assert mark == look.mark
        assert f"--{name}: {look.light};" in light
        assert f"--{name}: {look.dark};" in dark
