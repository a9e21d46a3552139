"""What somebody meets who moves a program here from upstream's dotflow."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

import dotflow.providers
from dotflow.cli.setup import Command
from dotflow.utils import upstream
from dotflow.utils.upstream import COMMANDS, MODULES, PAGE, PROVIDERS

ROOT = Path(__file__).parents[2]
DOCUMENTED = (ROOT / PAGE).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_class_that_is_not_here_names_what_is(name):
    """`from dotflow.providers import X` is an ImportError with the remedy, and so is the page."""
    with pytest.raises(ImportError, match=f"^Upstream's dotflow.providers.{name} is not") as raised:
        exec(f"from dotflow.providers import {name}")
    assert PROVIDERS[name] in str(raised.value)
    assert raised.value.name == "dotflow.providers"
    assert f"`{name}`" in DOCUMENTED


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_is_not_here_names_what_is(module):
    """`import dotflow.providers.x` says the same of the class that upstream has in it."""
    path = f"dotflow.providers.{module}"
    with pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module(path)
    assert str(raised.value) == upstream.message_of(path, MODULES[module])
    assert raised.value.name == path
    assert MODULES[module] in PROVIDERS


def test_what_is_named_instead_is_here():
    """Each class, each extra and each module that a remedy names is there."""
    text = " ".join(PROVIDERS.values())
    for module in set(re.findall(r"\bof (dotflow(?:\.\w+)*)", text)):
        importlib.import_module(module)
    for name, module in re.findall(r"(\w+)(?:\([^)]*\))? of (dotflow\.\w+)", text):
        assert hasattr(importlib.import_module(module), name)
    extras = set(re.findall(r"dotflow\[(\w+)\]", text))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert extras
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)


def test_other_names_are_as_python_says_them():
    """A name that upstream has not either is no business of the table."""
    with pytest.raises(
        ModuleNotFoundError, match=r"^No module named 'dotflow.providers.storage_s4'"
    ):
        importlib.import_module("dotflow.providers.storage_s4")
    with pytest.raises(AttributeError, match="has no attribute 'StorageS4'"):
        dotflow.providers.StorageS4  # noqa: B018
    assert importlib.util.find_spec("no_such_module_at_all") is None


def test_python_asks_once_however_often_it_is_told():
    """A second call leaves the list of finders as it is."""
    before = list(sys.meta_path)
    upstream.ModuleHints.install()
    assert sys.meta_path == before
    assert sys.meta_path.count(upstream.ModuleHints) == 1


@pytest.mark.parametrize("words", COMMANDS)
def test_a_word_of_upstreams_command_line_has_its_remedy(capsys, words):
    """The line that refuses the word says what to write."""
    *command, word = words.split()[1:]
    given = [*command, *(["--step", "a.b", "-o"] if word in ("s3", "gcs") else []), word]
    with pytest.raises(SystemExit) as ended:
        Command(given).run()
    assert ended.value.code == 2
    assert COMMANDS[words] in capsys.readouterr().err
