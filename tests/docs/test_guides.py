"""The tables of the guides name what the code takes, and the defaults that it has."""

from __future__ import annotations

import argparse
import inspect
import re

import pytest
from support.blocks import ROOT

from dotflow import DotFlow
from dotflow.cli.commands import schedule
from dotflow.core.action import Action
from dotflow.core.options import FLOWS
from dotflow.core.types import VALID_POLICIES
from dotflow.settings import START_METHODS

GUIDES = ROOT / "docs" / "guides"


def rows(page, head):
    """The cells of the rows of the table that has this in its first head."""
    text = (GUIDES / page).read_text(encoding="utf-8")
    [table] = re.findall(
        rf"^\| {re.escape(head)} \|.*\n\|[- |]+\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_the_arguments_of_an_action():
    """Each argument of a step is in the table, with its default."""
    told = {
        row[0].strip("`"): row[2].strip("`") for row in rows("retry.md", "argument of `@action`")
    }
    taken = inspect.signature(Action).parameters
    assert told == {
        name: str(one.default) for name, one in taken.items() if name not in ("func", "task")
    }


@pytest.mark.parametrize(
    ("page", "head", "argument", "values"),
    [
        ("parallel.md", "`mode=`", "mode", FLOWS),
        ("storage.md", "`start(on_input_change=...)`", "on_input_change", VALID_POLICIES),
        ("parallel.md", "start method", None, START_METHODS),
    ],
)
def test_the_values_of_an_argument(page, head, argument, values):
    """The table has each value, and says which is the default."""
    told = [row[0] for row in rows(page, head)]
    assert sorted(re.match(r'`"(\w+)"`', one)[1] for one in told) == sorted(values)
    if argument:
        default = inspect.signature(DotFlow.start).parameters[argument].default
        assert [one for one in told if "default" in one] == [f'`"{default}"`, the default']


def test_the_ways_to_overlap():
    """The page of the clock has each value of --overlap, the default first."""
    parser = argparse.ArgumentParser()
    schedule.configure(parser)
    [flag] = [one for one in parser._actions if one.dest == "overlap"]
    [told] = [row[1] for row in rows("cron.md", "you want") if "--overlap" in row[1]]
    assert f"--overlap {flag.default}` (the default)" in told
    assert set(re.findall(r"`(?:--overlap )?(\w+)`", told)) == set(flag.choices)
