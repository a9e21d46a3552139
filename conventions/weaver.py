"""What OpenTelemetry Weaver has to be told for its live check of what dotflow emits."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conventions.registry import Registry, Signal

OURS = 'instrumentation_scope != null && instrumentation_scope.name == "dotflow"'

GROUPS = (
    ("dotflow.resource", "resource", ""),
    ("dotflow.link", "span_link", ""),
    ("dotflow.log", "log", 'event_name == "" && "code.file.path" in attributes'),
    ("dotflow.line", "log", 'event_name == "" && "dotflow.task.id" in attributes'),
)
"""The groups, what Weaver calls that which has them, and when it has."""


def settings(registry: Registry) -> str:
    """The text of a `.weaver.toml`: how Weaver knows a span, which has no id of its kind."""
    found = [_matcher(name, kind, when, group=name) for name, kind, when in GROUPS]
    found += [
        _matcher(one.name, "span", f"{OURS} && {_when(one)}", signal=one.name)
        for one in registry.spans.values()
    ]
    for one in registry.events.values():
        if not one.is_ours:
            found.append(_matcher(one.name, "span_event", f'name == "{one.name}"', signal=one.name))
    return "\n".join(['[live-check]\nfail_on = "violation"\n', *found])


def _matcher(name: str, kind: str, when: str, signal: str = "", group: str = "") -> str:
    lines = ["[[live-check.matchers]]", f'id = "{name}"', f'sample_type = "{kind}"']
    if when:
        lines.append(f"when = {json.dumps(when)}")
    if signal:
        lines.append(f'signal = "{signal}"')
    if group:
        lines.append(f'strict_attribute_groups = ["{group}"]')
    return "\n".join(lines) + "\n"


def _when(one: Signal) -> str:
    """The names of a span as an expression of CEL, with its attributes in place of braces."""
    named = " || ".join(f"({_named(name)})" for name in one.names)
    return f'kind == "{one.span_kind}" && ({named})'


def _named(name: str) -> str:
    there, parts = [], []
    for text, key in re.findall(r"([^{]+)|{(.*?)}", name):
        if key:
            there.append(f"{json.dumps(key)} in attributes")
        parts.append(f"attributes[{json.dumps(key)}]" if key else json.dumps(text))
    return " && ".join([*there, f"name == {' + '.join(parts)}"])
