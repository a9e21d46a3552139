"""The table of what one task may cost, limits.json: how it is read, compared with and written."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

TABLE = Path(__file__).with_name("limits.json")
DEARER = 1.10
"""A case fails if it costs more than this times its recorded value, with the recorded versions."""
LIMIT = 1.25
"""With other versions it fails above this times: they call more or fewer functions of their own."""
FIGURES = ("calls", "lines", "writes", "files")
STREAM = "stream."


@dataclass(frozen=True)
class Cost:
    """What one task costs on the workflow's thread.

    Attributes:
        calls: How often it calls each Python function.
        writes: How often it makes each call that writes.
    """

    calls: dict
    writes: dict

    @property
    def figures(self):
        """The four figures that have a limit."""
        lines = sum(count for name, count in self.writes.items() if name.startswith(STREAM))
        return {
            "calls": round(sum(self.calls.values()), 1),
            "lines": round(lines, 1),
            "writes": round(sum(self.writes.values()) - lines, 1),
            "files": len(self.files),
        }

    @property
    def files(self):
        """The files of dotflow that a task passes through, not only now and then."""
        found = {name.rpartition(":")[0] for name, count in self.calls.items() if count >= 0.5}
        return sorted(name for name in found if name.startswith("dotflow/"))

    @property
    def line(self):
        """The four figures as one line of text."""
        return ", ".join(f"{count:g} {name}" for name, count in self.figures.items())


@dataclass(frozen=True)
class Case:
    """One case of the table.

    Attributes:
        cost: What it cost when the table was written.
        limits: What each figure may be with other versions.
    """

    cost: Cost
    limits: dict


@dataclass(frozen=True)
class Table:
    """The cases by name, and the versions that they were measured with."""

    versions: dict = field(default_factory=dict)
    cases: dict = field(default_factory=dict)

    @property
    def is_of_these_versions(self):
        """Whether it was measured with the versions that run now."""
        return self.versions == versions()


def versions():
    """What decides how many functions of others are called."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "opentelemetry-sdk": version("opentelemetry-sdk"),
    }


def complaints(case, now, exact):
    """What is wrong with the cost of a case; nothing if it is empty.

    Args:
        case: The case of the table.
        now: What it costs now.
        exact: Whether the recorded values hold, not only the limits.
    """
    old, found = case.cost.figures, []
    for name, count in now.figures.items():
        allowed = old[name] * DEARER if exact else case.limits[name]
        if count > allowed + 1e-9:
            found.append(f"{name}: {count:g} a task, {allowed:g} allowed (recorded: {old[name]:g})")
    return found + grown(case.cost, now) if found and exact else found


def grown(old, now):
    """Which functions and files one task costs more of, the dearest growth first."""
    more = []
    for before, after in ((old.calls, now.calls), (old.writes, now.writes)):
        for name, count in after.items():
            growth = count - before.get(name, 0)
            if growth > 0.05:
                more.append((-growth, f"{name}: {before.get(name, 0):g} -> {count:g}"))
    new = sorted(set(now.files) - set(old.files))
    return [line for _, line in sorted(more)] + [f"{name}: new on the way" for name in new]


def read_table(path=TABLE):
    """The table; an empty one if there is none yet."""
    if not path.exists():
        return Table()
    said = json.loads(path.read_text(encoding="utf-8"))
    cases = {
        name: Case(Cost(one["functions"], one["writers"]), one["limits"])
        for name, one in said["cases"].items()
    }
    return Table(said["versions"], cases)


def write_table(costs, path=TABLE):
    """Write the costs down as what is allowed from now on; other cases stay as they are."""
    cases = {name: (one.cost, one.limits) for name, one in read_table(path).cases.items()}
    cases |= {name: (cost, limits_of(cost)) for name, cost in costs.items()}
    said = {name: _as_json(*one) for name, one in cases.items()}
    text = json.dumps({"versions": versions(), "cases": said}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def limits_of(cost):
    """The figures with what other versions may cost on top."""
    return {name: math.ceil(count * LIMIT) for name, count in cost.figures.items()}


def _as_json(cost, limits):
    return {
        "values": cost.figures,
        "limits": limits,
        "writers": dict(sorted(cost.writes.items())),
        "functions": dict(sorted(cost.calls.items())),
    }
