"""What is written as YAML is read back as it was, by readers of either version."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dotflow.cloud.yaml_text import Block, Noted, yaml_text

ODD = ["", "\t", " a ", "a  b", "a: b", "a #b", "- a", "end\n", "a:", ":a", "it's", "a,b"]
ODD += ['q"\n\\ü😀', "\u2028", "\x07", "a" * 500 + " " + "b" * 500, "2026-11-28", "-", "--x", "--"]
ODD += ["yes", "On", "NO", "y", "null", "true", "False", "1e3", "0o17", "012", "12:30", "1_000"]
ODD += [
    "0x1f",
    ".inf",
    "~",
    "|",
    ">",
    "?",
    "=",
    "#",
    "'",
    '"',
    "{a}",
    "[a]",
    "*a",
    "&a",
    "!a",
    "<<",
]


def both(text):
    return yaml.safe_load(text), YAML(typ="safe").load(text)


@pytest.mark.parametrize("where", ["value", "key", "item"])
def test_odd_texts(where):
    """A text stays that text, whatever another reader would make of it."""
    for odd in ODD:
        document = {"value": {"a": odd}, "key": {odd: 1}, "item": {"a": [odd, "b"]}}[where]
        for read in both(yaml_text(document, above="odd")):
            assert read == document, odd


@settings(max_examples=40)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text(text):
    """The same of any text there is."""
    for read in both(yaml_text({text: [text, {"a": text}]}, above="any")):
        assert read == {text: [text, {"a": text}]}


def test_blocks():
    """Lines are written as lines, if they can be."""
    assert yaml_text({"a": Block("b: 1\n  #c\n")}, above="") == "a: |\n  b: 1\n    #c\n"
    for odd in ("\x07\n", " a\n", "a\n\n", "a"):
        assert both(yaml_text({"a": Block(odd)}, above=""))[1] == {"a": odd}


def test_notes():
    """The reason stands above what it is of, also in lists and below."""
    document = {
        "a": Noted({"b": [Noted({"c": 1}, "one"), Noted({"d": 2}, "two")]}, "all"),
        "e": None,
    }
    text = yaml_text(document, {"f": True}, above="first\n\nsecond")
    assert text.splitlines() == [
        "# first", "#", "# second", "# all", "a:", "  b:", "    # one", "    - c: 1",
        "    # two", "    - d: 2", "e:", "---", "f: true",
    ]  # fmt: skip
    assert list(yaml.safe_load_all(text)) == [
        {"a": {"b": [{"c": 1}, {"d": 2}]}, "e": None},
        {"f": True},
    ]
