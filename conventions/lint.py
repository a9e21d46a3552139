"""Looks at the names themselves: what OpenTelemetry's conventions ask of any name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conventions.registry import Registry, Signal

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(\.[a-z][a-z0-9]*(_[a-z0-9]+)*)*")
UNIT = re.compile(r"s|By|1|%|{[a-z]+}")
STABILITIES = {"stable", "release_candidate", "beta", "alpha", "development"}

Problem = tuple[str, str]
"""What is wrong, in Weaver's words where it has some, and the name that it is wrong with."""


def problems(registry: Registry) -> Iterator[Problem]:
    """What is wrong with the names that are not deprecated."""
    attributes = [one for one in registry.attributes.values() if not one.deprecated]
    keys = [one.key for one in attributes]
    for one in attributes:
        yield from _form(one.key, one.stability)
        if any(key.startswith(f"{one.key}.") for key in keys):
            yield "illegal_namespace", one.key  # a name and a namespace at once
    for signal in registry.signals:
        if not signal.deprecated:
            yield from _form(signal.name, signal.stability, is_event=signal.kind == "event")
            yield from _bounds(signal)
            if any(registry.attributes[key].deprecated for key in signal.uses):
                yield "deprecated", signal.name


def _form(name: str, stability: str, is_event: bool = False) -> Iterator[Problem]:
    if not NAME.fullmatch(name):
        yield "invalid_format", name
    elif "." not in name and not is_event:
        yield "missing_namespace", name
    if stability not in STABILITIES:
        yield "invalid_stability", name


def _bounds(signal: Signal) -> Iterator[Problem]:
    """No id is in what a backend keeps one of for each value that there is."""
    if signal.kind == "metric" and not UNIT.fullmatch(signal.unit):
        yield "invalid_unit", signal.name
    if signal.kind == "metric" and any(key.endswith(".id") for key in signal.uses):
        yield "unbounded_metric", signal.name
    if any(re.search(r"{[^}]*\.id}", name) for name in signal.names):
        yield "unbounded_name", signal.name
