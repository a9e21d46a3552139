"""Pictures of runs: well-formed whatever the names are, and true to the times."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.waterfall.bars import Bar
from dotflow.waterfall.colours import LOOKS
from dotflow.waterfall.html import to_html
from dotflow.waterfall.svg import to_svg
from dotflow.waterfall.texts import cut, lasting

SECOND = 10**9
BEGIN = 1_790_000_000 * SECOND
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b[31m\ud800\u202egnp.exe\ufffe]]>"


def bar(name, start, end, status="Completed", kind="task", **more):
    after = None if end is None else BEGIN + int(end * SECOND)
    return Bar(name, kind, 0 if kind == "workflow" else 1, BEGIN + int(start * SECOND), after,
               status, **more)  # fmt: skip


RUN = [
    bar("etl", 0, 10, "Failed", "workflow"),
    bar("load", 0, 5, group="north"),
    bar("sum", 5, 10, "Failed", group="north", note="ValueError"),
    bar("load", 1, None, "In progress", group="south"),
    Bar("sum", "task", 1, 0, None, "Not started", "south"),
]


def texts(picture):
    root = ET.fromstring(picture)
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def bars_of(picture):
    root = ET.fromstring(picture)
    return [(float(one.get("x")), float(one.get("width"))) for one in root.iter(f"{SVG}rect")]


def test_bars_lie_where_their_times_are():
    """The second half begins where the first ends; what goes on ends now; no bar for no time."""
    run, first, second, going_on = bars_of(to_svg(RUN, now=BEGIN + 20 * SECOND))
    assert first[0] == run[0]
    assert second[0] == first[0] + first[1]
    assert abs(first[1] * 2 - run[1]) < 0.2
    assert abs(going_on[0] + going_on[1] - run[0] - 2 * run[1]) < 0.2


def test_groups_statuses_and_notes_are_said_without_colours():
    """Each group has one row of its own; a mark, a word or a time stands beside each bar."""
    found = texts(to_svg(RUN, title="etl", now=BEGIN + 20 * SECOND))
    assert found.count("north") == found.count("south") == 1
    assert found.index("north") < found.index("south")
    assert {"✗", "✓", "▸", "○", "5.00 s ValueError", "In progress", "Not started"} <= set(found)
    assert "20 s" in found  # of the scale


def test_every_status_has_a_look_of_its_own():
    """None of the engine's statuses is drawn as an unknown one, and each mark says which."""
    words = {value for cls in (TypeStatus, WorkflowStatus) for name, value in vars(cls).items()
             if name.isupper()}  # fmt: skip
    assert words <= set(LOOKS)
    assert len({LOOKS[word].mark for word in words - {"New"}}) == len(words) - 1


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.said = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.said += data


def test_hostile_names_are_text():
    """Names, groups, notes, statuses and titles make no element, no attribute, no broken XML."""
    bars = [bar(HOSTILE, 0, 1, HOSTILE, group=HOSTILE, note=HOSTILE)]
    picture = to_svg(bars, title=HOSTILE)
    assert {one.tag for one in ET.fromstring(picture).iter()} == {
        f"{SVG}{name}" for name in ("svg", "style", "title", "text", "path", "g", "rect")
    }
    found = Tags()
    found.feed(to_html(bars, title=HOSTILE))
    assert "script" not in found.tags
    assert not {"style", "href", "src", "onload"} & {*found.attributes, *found.tags}
    assert "<script>alert(1)</script>" in found.said
    assert not {"\x00", "\x1b", "\u202e", "\ufffe"} & {*picture, *found.said}
    found.said.encode()


def test_no_picture_leaves_its_frame():
    """Clocks that were set back, no duration, a century, no bar at all: all lies within."""
    odd = [bar("a", 5, 1), bar("b", 0, 0), bar("c", -1, 86400 * 36500), bar("d", 2, None, "Retry")]
    for bars in (odd, odd[1:2], [RUN[-1]], []):
        for left, width in bars_of(to_svg(bars, now=BEGIN)):
            assert width >= 2
            assert 0 <= left <= 960
            assert left + width <= 961
        assert len(texts(to_svg(bars, now=BEGIN))) < 30  # the scale has few words


def test_a_notebook_shows_what_matters_of_very_many():
    """Of ten thousand rows forty are drawn, the failed ones among them, and the rest is counted."""
    many = [RUN[0], *(bar(f"t{number}" * 99, 0, 1) for number in range(9_997))]
    many += [bar("bad", 1, 2, "Failed"), bar("goes on", 1, None, "In progress")]
    page = to_html(many, title="t" * 10**6)
    assert len(page) < 40_000
    assert page.count("<rect") == 40
    assert ">bad<" in page
    assert ">goes on<" in page
    assert "9,960 more rows are not shown." in page


def test_texts_fit_their_columns():
    """Wide characters take two columns, and times are written for people."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cut("名名名名", 6) == "名名…"
    assert [lasting(int(one * SECOND)) for one in (0.0012, 0.25, 3.4, 125, 3720)] == [
        "1.2 ms", "250 ms", "3.40 s", "2 min 05 s", "1 h 02 min",
    ]  # fmt: skip
