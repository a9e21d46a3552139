"""What a look at the set-up has found."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from dotflow import __version__
from dotflow.utils.masking import masked

_NAME = re.compile(r"\b(?:OTEL|DOTFLOW|SERVER|WORKFLOW)_[A-Z][A-Z0-9_]*\b")


@dataclass(frozen=True)
class Setting:
    """A value that something is set to.

    Attributes:
        about: What it is a setting of: "runs", "traces", "records", ...
        name: Its name.
        value: The value in force, fit to be shown.
        source: Where it comes from: "argument", "variable" or "default".
        variable: The variable that says it, or would; None where there is none.
    """

    about: str
    name: str
    value: str
    source: str
    variable: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something that a person should know.

    Attributes:
        about: What it is about: a destination by its name, or a word as of `Setting`.
        problem: What is wrong, or what there is to know.
        remedy: What mends it; of a note it may be empty.
    """

    about: str
    problem: str
    remedy: str


@dataclass(frozen=True)
class Reached:
    """A destination that was tried.

    Attributes:
        destination: What people call it, without credentials.
        kind: What goes there: "traces", "metrics", "logs", "records", "results" or "state".
        ok: Whether it took what it was sent.
        seconds: How long that took.
        did: What was done, where it took it.
    """

    destination: str
    kind: str
    ok: bool
    seconds: float
    did: str = ""


@dataclass
class Report:
    """All that was found; nothing in it is secret.

    Attributes:
        settings: What is configured, and where each value comes from.
        in_force: What makes and sends telemetry, by its kind.
        destinations: What was tried.
        faults: What is wrong.
        notes: What is not wrong, and worth knowing.
    """

    settings: list[Setting] = field(default_factory=list)
    in_force: dict[str, list[str]] = field(default_factory=dict)
    destinations: list[Reached] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def set(self, about: str, name: str, value: object, source: str, variable: str = "") -> None:
        """Take note of a setting."""
        shown = masked(str(value))
        self.settings.append(Setting(about, name, shown, source, variable or None))

    def fault(self, about: str, problem: str, remedy: str = "") -> None:
        """Take note of a fault, once."""
        found = Finding(about, masked(problem), masked(remedy) or _mend(problem))
        if found not in self.faults:
            self.faults.append(found)

    def note(self, about: str, problem: str, remedy: str = "") -> None:
        """Take note of what is no fault, once."""
        found = Finding(about, masked(problem), masked(remedy))
        if found not in self.notes:
            self.notes.append(found)

    def take(self, lines: list[str]) -> None:
        """Take the library's own lines for what they are: each says what a variable has wrong."""
        for line in lines:
            problem, _, remedy = line.partition(": set ")
            self.fault("variables", problem.rstrip("."), remedy and f"set {remedy}")

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints; its keys are documented in docs/reference/doctor.md."""
        return {
            "ok": self.is_well,
            "version": __version__,
            "faults": [asdict(one) for one in self.faults],
            "notes": [asdict(one) for one in self.notes],
            "destinations": [asdict(one) for one in self.destinations],
            "in_force": self.in_force,
            "settings": [asdict(one) for one in self.settings],
        }


def _mend(problem: str) -> str:
    """What mends a problem whose words name a variable."""
    found = _NAME.search(problem)
    return f"mend {found[0]}, or take it away" if found else "see docs/reference/doctor.md"
