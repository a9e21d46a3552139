"""Makes `dotflow/otel/attributes.py` from the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conventions.registry import Registry, Signal

WIDTH = 100
"""Characters of a line, as ruff has it: what is made is not to be formatted again."""

HEAD = '''\
"""Every name that dotflow emits, once.

Made by `python -m conventions` from the registry in conventions/: change that, not this.
docs/reference/telemetry.md says more of each.
"""

from __future__ import annotations

from typing import NamedTuple

SCOPE = "dotflow"
"""The instrumentation scope of what we emit."""

SCHEMA_URL = "{schema_url}"
"""The version of OpenTelemetry's semantic conventions that the names are of."""


class Metric(NamedTuple):
    """What a metric is created with."""

    name: str
    unit: str
    description: str


# Attributes, and the values of those that have a few.
'''


def constant_of(name: str) -> str:
    """What a name is called in Python; the project's own go without its name."""
    return name.removeprefix("dotflow.").replace(".", "_").upper()


def text_of(registry: Registry) -> str:
    """The module; names that are deprecated are not in it, for nothing new is to use them."""
    lines = [HEAD.format(schema_url=registry.schema_url)]
    used = {key for one in registry.signals if one.kind != "group" for key in one.uses}
    for one in registry.attributes.values():
        if one.deprecated or not (one.is_ours or one.key in used):
            continue
        name = constant_of(one.key)
        lines.append(f'{name} = "{one.key}"')
        lines.append(f'"""{one.brief}"""')
        lines += [f'{name}_{member.upper()} = "{value}"' for member, value in one.members.items()]
        lines.append("")
    lines += ["# Names of spans.", "", *_spans(registry), ""]
    lines += ["# Names of events.", "", *_events(registry), ""]
    lines += ["# Metrics.", ""]
    for metric in registry.metrics.values():
        if not metric.deprecated:
            lines += _metric(metric)
    return "\n".join(lines) + "\n"


def _spans(registry: Registry) -> list[str]:
    named = {one.constant: one.names[-1] for one in registry.spans.values() if one.constant}
    return [f'{name} = "{text}"' for name, text in named.items()]


def _events(registry: Registry) -> Iterator[str]:
    for one in registry.events.values():
        yield f'EVENT_{constant_of(one.name)} = "{one.name}"'


def _metric(one: Signal) -> list[str]:
    name = f"METRIC_{constant_of(one.name)}"
    whole = f'{name} = Metric("{one.name}", "{one.unit}", "{one.brief}")'
    if len(whole) <= WIDTH:
        return [whole]
    inner = f'    "{one.name}", "{one.unit}", "{one.brief}"'
    if len(inner) <= WIDTH:
        return [f"{name} = Metric(", inner, ")"]
    return [
        f"{name} = Metric(",
        f'    "{one.name}",',
        f'    "{one.unit}",',
        f'    "{one.brief}",',
        ")",
    ]
