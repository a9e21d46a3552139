"""Patterns that are compiled when they are first used."""

from __future__ import annotations

import re

from dotflow.utils.patterns import later


def test_a_pattern_is_compiled_at_its_first_use_and_once(monkeypatch):
    compiled = []
    compile_now = re.compile
    monkeypatch.setattr(re, "compile", lambda *said: compiled.append(said) or compile_now(*said))
    pattern = later("a(b)", re.IGNORECASE)
    assert compiled == []
    assert pattern.sub("-", "xABx") == "x-x"
    assert pattern.sub("-", "ab") == "-"
    assert compiled == [("a(b)", re.IGNORECASE)]
    assert pattern.pattern == "a(b)"
