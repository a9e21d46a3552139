"""The load test of a dotflow-api: whether it finds what it promises to find."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.api_clients import Sample
from benchmarks.api_runs import BEGIN, END, PAGE, Level, figures_of, refreshed
from benchmarks.api_usage import Usage

ROOT = Path(__file__).parents[2]


def usage(**used):
    nothing = {"server": 0.0, "worker": 0.0, "database": 0.0, "clients": 0.0, "machine": 0.5}
    return Usage(**{**nothing, "connections": 0, "waits": {}, **used})


def level(offered, taken, late, refused=0, **used):
    return Level(offered, Sample(taken, 1.0, [late] * 100, refused), usage(**used))


def test_the_limit_is_the_last_level_that_was_borne():
    """One that is late, refuses or does not take what was offered is beyond the limit."""
    borne = level(100, 99, 0.01, server=0.2, database=0.1)
    assert figures_of([borne, level(140, 140, 1.5)]) == ["99", "10.0, 10.0", "2,020, 1,010"]
    for beyond in (level(100, 100, 2.0), level(100, 50, 0.1), level(100, 100, 0.1, refused=1)):
        assert figures_of([beyond])[0] == "under 100"


@pytest.mark.parametrize(
    ("used", "words"),
    [
        ({"machine": 1.0}, "other programs"),
        ({"machine": 1.0, "server": 64.0, "worker": 1.0}, "the machine's processors"),
        ({"worker": 0.95}, "a worker's processor"),
        ({"waits": {"IO:WALSync": 0.7}}, "70% of what is under way waits for IO:WALSync"),
        ({}, "nothing"),
    ],
)
def test_what_gives_way_first_is_named(used, words):
    """It is what was used up."""
    assert words in usage(**used).what_gives_way()


def test_figures_have_their_place():
    """Those that were there before go, and all else stays."""
    page = PAGE.read_text("utf-8")
    above, below = page.split(BEGIN)[0], page.split(END)[1]
    assert refreshed(page, "new") == f"{above}{BEGIN}\n\nnew\n\n{END}{below}"


@pytest.mark.slow
def test_the_load_test_loses_nothing():
    """Runs report to a server of its own, and each has its record in the end."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.api_runs", "--only", "sqlite,bulk", "--runs", "4",
         "--first", "80", "--seconds", "2", "--levels", "1"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=300, check=True,
    )  # fmt: skip
    rows = [line for line in done.stdout.splitlines() if line.startswith("| SQLite")]
    assert [row.rpartition(" | ")[2] for row in rows] == ["0 |"]
