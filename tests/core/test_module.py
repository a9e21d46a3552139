"""Module: objects by their import string."""

from __future__ import annotations

import json
import os.path
from pathlib import Path

import pytest

from dotflow.core.exception import ImportModuleError
from dotflow.core.module import Module


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("json.dumps", json.dumps),
        ("json:dumps", json.dumps),
        ("os.path.join", os.path.join),
        ("os.path:join", os.path.join),
        ("pathlib:Path.cwd", Path.cwd),
    ],
)
def test_import_strings(path, expected):
    """The part before the last dot, or the last colon, is the module, the rest the attribute."""
    assert Module(path) == expected


@pytest.mark.parametrize("value", [5, None, print, ["json.dumps"]])
def test_other_values_are_returned(value):
    """What is no string is returned as it is."""
    assert Module(value) is value


@pytest.mark.parametrize(
    "path",
    ["", "json", ".", ":", "json:", ":dumps", ".dumps", "json.", "json.nothing", "json:nothing",
     "no_such_package.step", "json.no_such_module.step", "a..b", "..b", "json:dumps:"],
)  # fmt: skip
def test_what_leads_nowhere(path):
    """No module part, a missing module or a missing attribute: the error names the string."""
    with pytest.raises(ImportModuleError) as raised:
        Module(path)
    assert f"'{path}'" in str(raised.value)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "etl_of_a_user.py").write_text(
        "from dotflow import action\n@action\ndef extract(): pass\ndef helper(): pass\n"
    )
    (tmp_path / "package_of_a_user").mkdir()
    (tmp_path / "package_of_a_user" / "__init__.py").touch()
    (tmp_path / "package_of_a_user" / "steps.py").touch()
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("etl_of_a_user", "is a module; name something in it, as in 'etl_of_a_user.NAME'"),
        ("extract", "it names no module; write it as 'package.module.name'"),
        ("etl_of_a_usr.extract", "on Python's path. Did you mean 'etl_of_a_user'?"),
        ("package_of_a_user.step.go", "in package 'package_of_a_user'. Did you mean"),
        ("etl_of_a_user.extrct", "has no 'extrct'. Did you mean 'etl_of_a_user.extract'?"),
        ("etl_of_a_user:zzz", "has no 'zzz'. It has: extract, helper."),
        ("etl_of_a_user:extract.fnc", "'etl_of_a_user.extract' has no 'fnc'. Did you mean"),
        ("etl_of_a_user.py", "it names a file; name the module, as in 'etl_of_a_user:NAME'"),
        ("./jobs/etl.py:extract", "it names a file; name the module, as in 'jobs.etl:extract'"),
        ("json..b", "write it as 'package.module.name'"),
    ],
)  # fmt: skip
def test_each_mistake_has_words_of_its_own(path, said):
    """No module part, a missing module, a missing name, a file: what is wrong, and what is near."""
    with pytest.raises(ImportModuleError) as raised:
        Module(path)
    assert str(raised.value).startswith(f"Could not import '{path}': ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_package_at_all", ModuleNotFoundError),
        ("from json import nothing", ImportError),
        ("raise LookupError('own')", LookupError),
        ("int('x')", ValueError),
        ("1 + 'x'", TypeError),
        ("None.x", AttributeError),
        ("def", SyntaxError),
    ],
)
def test_what_a_module_itself_raises_is_seen(tmp_path, monkeypatch, source, error):
    """A module that is there and cannot be imported shows its own error."""
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error) as raised:
        Module(f"{name}.step")
    assert not isinstance(raised.value, ImportModuleError)
