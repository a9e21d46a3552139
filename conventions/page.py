"""Makes the tables of `docs/reference/telemetry.md` from the registry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conventions.registry import Registry, Signal

LEVELS = {"required": "yes", "recommended": "where known", "opt_in": "if asked for"}


def text_of(registry: Registry, page: str) -> str:
    """The page, with each table between its two comments made anew.

    Raises:
        KeyError: The page asks for a table that there is not.
    """

    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]](registry)}\n{found[3]}"

    return re.sub(r"(<!-- table: (\w+) -->)\n.*?(<!-- end -->)", table, page, flags=re.DOTALL)


def _spans(registry: Registry) -> str:
    return "\n\n".join(
        f"**{_title(one)}** ({one.span_kind}). {one.brief} Name: {_names(one)}.\n\n{_uses(one)}"
        for one in registry.spans.values()
        if not one.deprecated
    )


def _groups(registry: Registry) -> str:
    return "\n\n".join(
        f"**{_title(one)}**. {one.brief} {one.note}".rstrip() + f"\n\n{_uses(one)}"
        for one in registry.groups.values()
    )


def _events(registry: Registry) -> str:
    return "\n\n".join(
        f"**{_title(one)}**. {one.brief} {one.note}".rstrip() + f"\n\n{_uses(one)}"
        for one in registry.events.values()
        if not one.deprecated
    )


def _metrics(registry: Registry) -> str:
    rows = [
        (f"`{one.name}`", one.instrument, f"`{one.unit}`", one.brief, _keys(one))
        for one in registry.metrics.values()
        if not one.deprecated
    ]
    return _table(("metric", "instrument", "unit", "says", "attributes"), rows)


def _attributes(registry: Registry) -> str:
    rows = [
        (f"`{one.key}`", one.type, one.brief, _members(one.members, one.is_open), one.stability)
        for one in registry.attributes.values()
        if not one.deprecated
    ]
    return _table(("attribute", "type", "says", "values", "stability"), rows)


def _deprecated(registry: Registry) -> str:
    rows = [
        (f"`{one.name}`", one.kind, one.deprecated) for one in registry.signals if one.deprecated
    ]
    rows += [
        (f"`{one.key}`", "attribute", one.deprecated)
        for one in registry.attributes.values()
        if one.deprecated
    ]
    return _table(("name", "of a", "in its place"), rows)


TABLES: dict[str, Callable[[Registry], str]] = {
    "groups": _groups,
    "spans": _spans,
    "events": _events,
    "metrics": _metrics,
    "attributes": _attributes,
    "deprecated": _deprecated,
}


def _title(one: Signal) -> str:
    return f"`{one.name}`"


def _names(one: Signal) -> str:
    return ", else ".join(f"`{name}`" for name in one.names)


def _uses(one: Signal) -> str:
    rows = [(f"`{key}`", LEVELS.get(level, level)) for key, level in one.uses.items()]
    return _table(("attribute", "there"), rows)


def _keys(one: Signal) -> str:
    return ", ".join(f"`{key}`" for key in one.uses) or "none"


def _members(members: dict[str, str], is_open: bool) -> str:
    found = [f"`{value}`" for value in members.values()]
    return ", ".join([*found, "others"] if is_open else found)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
