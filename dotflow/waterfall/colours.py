"""How each status looks, wherever a run is drawn: one palette, told apart without colour too."""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """How a status looks.

    Attributes:
        light: Its colour on a light ground.
        dark: Its colour on a dark ground.
        either: One that can be seen on both, for pictures that do not know their ground.
        mark: One character that says as much without a colour.
        terminal: Its colour in a terminal.
        dashes: The line around its bar, as SVG's `stroke-dasharray` has it; "" for a whole one.
    """

    light: str
    dark: str
    either: str
    mark: str
    terminal: str
    dashes: str = ""


LOOKS = {
    "Completed": Look("#1a7f4b", "#3fb97a", "#2b9a62", "✓", "green"),
    "Failed": Look("#c62a2f", "#f2646a", "#dc4348", "✗", "red"),
    "Retry": Look("#a35a00", "#e8a33d", "#c07818", "↻", "yellow", "3 2"),
    "In progress": Look("#1f6fd6", "#6aa8f7", "#3f86e0", "▸", "blue", "5 3"),
    "Paused": Look("#6b5bb5", "#a99be6", "#8475c9", "‖", "magenta", "1 2"),
    "Not started": Look("#6b7280", "#9aa1ac", "#838a95", "○", "bright_black", "1 3"),
    "New": Look("#6b7280", "#9aa1ac", "#838a95", "○", "bright_black", "1 3"),
}
"""By the status of a task or a run."""

SPAN = Look("#3d7a8c", "#6fb3c6", "#4f94a8", "·", "cyan")
"""How a span looks that nobody calls failed."""


def look_of(status: str) -> Look:
    """How a status looks; whatever is no status of a task or a run looks like a plain span."""
    if status.upper() == "ERROR":
        return LOOKS["Failed"]
    return LOOKS.get(status, SPAN)
