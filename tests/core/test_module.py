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
