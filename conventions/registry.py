"""Reads the registry: attributes, and the spans, events and metrics that have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
MODEL, SEMCONV = FOLDER / "model", FOLDER / "semconv"

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where it is."""

SECTIONS = {"attribute_groups": "id", "spans": "type", "events": "name", "metrics": "name"}
"""The sections of a file that hold what has attributes, and what names one there."""


@dataclass(frozen=True)
class Attribute:
    """An attribute.

    Attributes:
        key: Its name.
        type: Its type; of an enum that of its values.
        members: The values of an enum by their ids; empty where it is none.
        is_open: Whether an enum has other values, too.
        brief: What it says.
        stability: How firm the name is.
        deprecated: What to use in its place; empty where it is not deprecated.
        is_ours: Whether it is defined here, not by OpenTelemetry's conventions.
    """

    key: str
    type: str
    members: dict[str, str]
    is_open: bool
    brief: str
    stability: str
    deprecated: str
    is_ours: bool


@dataclass(frozen=True)
class Signal:
    """A span, an event or a metric; or a group, which is what a link or a resource has.

    Attributes:
        kind: "span", "event", "metric" or "group".
        name: Its name; of a span its type.
        brief: What it tells of.
        note: More of that.
        stability: How firm the name is.
        deprecated: What to use in its place; empty where it is not deprecated.
        is_ours: Whether it is defined here, not by OpenTelemetry's conventions.
        uses: The attributes that it has, with "required", "recommended", "opt_in" or the words of
            a condition.
        names: The names that a span may have.
        constant: What attributes.py calls the last of them.
        span_kind: "server" or "internal", of a span.
        instrument: "histogram", "counter", "updowncounter" or "gauge", of a metric.
        unit: The unit of a metric.
    """

    kind: str
    name: str
    brief: str
    note: str
    stability: str
    deprecated: str
    is_ours: bool
    uses: dict[str, str]
    names: tuple[str, ...]
    constant: str
    span_kind: str
    instrument: str
    unit: str


@dataclass(frozen=True)
class Registry:
    """Everything that dotflow emits, by name.

    Attributes:
        schema_url: The schema of OpenTelemetry's conventions that the names are of.
    """

    schema_url: str
    attributes: dict[str, Attribute]
    groups: dict[str, Signal]
    spans: dict[str, Signal]
    events: dict[str, Signal]
    metrics: dict[str, Signal]

    @property
    def signals(self) -> list[Signal]:
        """Groups, spans, events and metrics."""
        return [
            *self.groups.values(),
            *self.spans.values(),
            *self.events.values(),
            *self.metrics.values(),
        ]


def documents(folder: Path) -> list[dict[str, Any]]:
    """The files of a folder, each as what its YAML says."""
    found = sorted(folder.glob("*.yaml"))
    # What is deprecated comes last: the order of what is made is that of the files.
    found.sort(key=lambda one: one.stem == "deprecated")
    return [
        yaml.load(one.read_text("utf-8"), LOADER)  # noqa: S506 - both are safe
        for one in found
    ]


def read(model: list[dict[str, Any]] | None = None) -> Registry:
    """The registry.

    Args:
        model: What the files of `model/` say, where it is not to be read from them.

    Raises:
        KeyError: A signal refers to an attribute that is not defined.
        ValueError: A name is defined twice.
    """
    ours, theirs = documents(MODEL) if model is None else model, documents(SEMCONV)
    schema_url = next(one["schema_url"] for one in theirs if "schema_url" in one)
    registry = Registry(schema_url, {}, {}, {}, {}, {})
    for one, is_ours in _all("attributes", ours, theirs):
        _add(registry.attributes, one["key"], _attribute(one, is_ours))
    groups = {one["id"]: one["attributes"] for one, _ in _all("attribute_groups", ours, theirs)}
    for section, key in SECTIONS.items():
        for one, is_ours in _all(section, ours, theirs):
            if one.get("visibility") != "internal":
                signal = _signal(section, one, is_ours, groups)
                for used in signal.uses:
                    registry.attributes[used]  # that it is there
                _add(getattr(registry, section.removeprefix("attribute_")), one[key], signal)
    return registry


def _all(
    section: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], bool]]:
    """What is in a section of any file, and whether that is one of ours."""
    for files, is_ours in ((ours, True), (theirs, False)):
        for file in files:
            for one in file.get(section, ()):
                yield one, is_ours


def _add(to: dict[str, Any], name: str, one: Any) -> None:
    if name in to:
        raise ValueError(f"{name} is defined twice")
    to[name] = one


def _attribute(given: dict[str, Any], is_ours: bool) -> Attribute:
    kind, members = given["type"], {}
    if isinstance(kind, dict):
        members = {one["id"]: one["value"] for one in kind["members"]}
        kind = "string"
    return Attribute(
        key=given["key"],
        type=kind,
        members=members,
        is_open=given.get("annotations", {}).get("custom_variants", False),
        brief=given["brief"],
        stability=given["stability"],
        deprecated=_instead(given.get("deprecated")),
        is_ours=is_ours,
    )


def _signal(
    section: str, given: dict[str, Any], is_ours: bool, groups: dict[str, list[dict[str, Any]]]
) -> Signal:
    said = given.get("annotations", {}).get("dotflow", {})
    return Signal(
        kind=section.removeprefix("attribute_")[:-1],
        name=given[SECTIONS[section]],
        brief=given["brief"],
        note=given.get("note", "").strip(),
        stability=given["stability"],
        deprecated=_instead(given.get("deprecated")),
        is_ours=is_ours,
        uses=dict(_uses(given.get("attributes", ()), groups)),
        names=tuple(said.get("names", ())),
        constant=said.get("constant", ""),
        span_kind=given.get("kind", ""),
        instrument=given.get("instrument", ""),
        unit=given.get("unit", ""),
    )


def _uses(
    references: list[dict[str, Any]], groups: dict[str, list[dict[str, Any]]]
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for one in references:
        if "ref_group" in one:
            found += _uses(groups[one["ref_group"]], groups)
            continue
        level = one.get("requirement_level", "recommended")
        found.append((one["ref"], level if isinstance(level, str) else next(iter(level.values()))))
    return found


def _instead(deprecated: dict[str, str] | None) -> str:
    if deprecated is None:
        return ""
    if "renamed_to" in deprecated:
        return f"It is `{deprecated['renamed_to']}` now."
    return deprecated["note"]
