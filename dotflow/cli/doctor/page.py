"""The page of `dotflow doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from dotflow.utils.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.cli.doctor.report import Finding, Report


def show(report: Report) -> None:
    """Write the page to standard output."""
    console = Console(highlight=False)

    def say(*parts: str | tuple[str, str]) -> None:
        safe = [printable(one) if isinstance(one, str) else one for one in parts]
        console.print(Text.assemble(*safe), soft_wrap=True)

    say(("Configured", "bold"))
    rows = [
        (one.about, one.name, one.value, one.variable if one.source == "variable" else one.source)
        for one in report.settings
    ]
    for line in _columns(rows):
        say(f"  {line}")
    say(("In force", "bold"))
    for line in _columns(
        [(name, ", ".join(said) or "none") for name, said in report.in_force.items()]
    ):
        say(f"  {line}")
    say(("Tried", "bold"))
    for one in report.destinations:
        word = ("ok   ", "green") if one.ok else ("fault", "bold red")
        say(
            "  ",
            word,
            f"  {one.kind:7}  {_one_line(one.destination)}: {one.did or 'see below'}"
            f" ({one.seconds:.3f} s)",
        )
    if not report.destinations:
        say("  nothing: no destination is configured")
    for title, style, findings in (
        ("Notes", "bold", report.notes), ("Faults", "bold red", report.faults),
    ):  # fmt: skip
        if findings:
            say((title, style))
        for line in _told(findings):
            say(f"  {line}")
    if report.is_well:
        say(("All is well.", "green"))


def _told(findings: Sequence[Finding]) -> list[str]:
    told = []
    for one in findings:
        told.append(f"{one.about}: {one.problem}")
        if one.remedy:
            told.append(f"  -> {one.remedy}")
    return told


def _columns(rows: Sequence[tuple[str | None, ...]]) -> list[str]:
    """Rows as lines, each column as wide as its longest value, the last one as it is."""
    if not rows:
        return []
    cells = [[_one_line(one or "") for one in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]) - 1)]
    return [
        "  ".join(row[at].ljust(width) for at, width in enumerate(widths)) + f"  {row[-1]}"
        for row in cells
    ]


def _one_line(text: str) -> str:
    """A value as it is, but for what would end its line or command a terminal."""
    return printable(text).replace("\n", "\\n")
