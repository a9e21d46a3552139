"""What the order of messages needs to know of what a dead process left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dotflow.runlog.receipts import Receipt


class LeftBehind(Protocol):
    """What a dead process left, of which units are sent.

    Attributes:
        id: What claims call it.
        nested: The logs whose runs began within one of its own, by workflow.
    """

    id: str
    nested: dict[str, set[str]]

    def write(self, receipts: list[Receipt]) -> None:
        """Write down what becomes of messages."""

    def unit_is_done(self, workflow: str, run: int) -> None:
        """Learn that nothing is left to say of a unit: of a run of a workflow."""

    def let_go(self, workflow: str) -> None:
        """Leave a workflow to the process that claimed it."""
