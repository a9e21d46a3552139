"""The page of arguments has those of the code, in their order, with their defaults."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from dotflow import Config, DotFlow, action, providers
from dotflow.core.task import TaskBuilder
from dotflow.otel import ServerOtel

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^##+ (?:[^`\n]*: )?`([\w.]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
CODE = {
    "action": action,
    "DotFlow": DotFlow,
    "task.add": TaskBuilder.add,
    "start": DotFlow.start,
    "Config": Config,
    "ServerOtel": ServerOtel,
    **{name: getattr(providers, name) for name in providers.__all__ if "Default" not in name},
    "ServerDefault": providers.ServerDefault,
    "LogDefault": providers.LogDefault,
}
OF_PATHS = "flow.log"


def of_the_page():
    """By section, each argument with what its row says of the default."""
    for name, text in SECTION.findall(PAGE):
        table = text.partition("| argument | meaning | default |\n")[2].partition("\n\n")[0]
        rows = [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]
        yield name, {row[0].strip("`"): row[-1] if len(row) > 2 else "" for row in rows}


ON_THE_PAGE = dict(of_the_page())


@pytest.mark.parametrize("name", CODE)
def test_arguments_are_those_of_the_code(name):
    """Whoever adds an argument, or changes a default, changes the page."""
    found = inspect.signature(CODE[name]).parameters.values()
    named = [one for one in found if one.name != "self" and not one.name.startswith("_")]
    assert list(ON_THE_PAGE[name]) == [one.name for one in named]
    for one in named:
        said = ON_THE_PAGE[name][one.name]
        if one.default is one.empty:
            assert said in ("", "|")
        elif callable(one.default):
            assert said == "does nothing"
        elif isinstance(one.default, Path):
            assert said.startswith(f"`{OF_PATHS}`")
        else:
            assert said.startswith(f"`{one.default!r}`")


def test_what_goes_for_start_goes_for_its_kin():
    """`start_async` and `schedule` have the arguments of `start`."""
    start = inspect.signature(DotFlow.start).parameters
    for other in (DotFlow.start_async, DotFlow.schedule):
        assert inspect.signature(other).parameters == start
