"""Brings a dead run to where its process left it: its facts, and what was said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.delivery.fold.records import OF_TASKS
from dotflow.delivery.message import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.delivery.message import Slot
    from dotflow.delivery.order.unit import Unit
    from dotflow.runlog.reader import Fact
    from dotflow.runlog.receipts import Receipt

_FIRST = frozenset({Kind.WORKFLOW_POST.value, Kind.WORKFLOW_OPEN.value})


def replay(unit: Unit, facts: list[Fact], said: Iterable[Receipt]) -> None:
    """Fold the facts of a unit, and what was said of them.

    A message without an answer is made again as it was, and repeated before anything newer is said
    of its record: the server may have taken it.

    Args:
        unit: The unit, with nothing in it.
        facts: Its facts, by number.
        said: The receipts of its run.
    """
    unanswered, heard = _unanswered(said), _heard(said)
    for fact in facts:
        unit.take(fact, 0)
        key = fact.get("t") if fact["f"] in OF_TASKS else None
        if unanswered.get((key, False)) == fact["n"]:
            unit.repeat(key, heard.get(key, 0))
    for receipt in said:
        _take_note(unit, receipt)
    unit.release()


def _unanswered(said: Iterable[Receipt]) -> dict[Slot, int]:
    """The messages that were sent last, and not answered: by their facts' numbers.

    The first call about a record follows from one fact alone: it is made again as it was anyway.
    """
    last: dict[Slot, int] = {}
    for receipt in said:
        kind, n, key = _kind(receipt), receipt.get("n"), receipt.get("t")
        if kind is None or not isinstance(n, int):
            continue
        slot = key, False
        if receipt.get("k") == "sending":
            if not kind.is_post and kind is not Kind.WORKFLOW_OPEN:
                last[slot] = n
        elif last.get(slot) == n:
            del last[slot]
    return last


def _heard(said: Iterable[Receipt]) -> dict[Any, int]:
    """The number of the last fact of each record that the server has heard."""
    found: dict[Any, int] = {}
    for receipt in said:
        n, key = receipt.get("n"), receipt.get("t")
        if receipt.get("k") == "said" and isinstance(n, int):
            found[key] = max(n, found.get(key, 0))
    return found


def _take_note(unit: Unit, receipt: Receipt) -> None:
    kind, n, key = _kind(receipt), receipt.get("n"), receipt.get("t")
    if receipt.get("k") not in ("said", "refused") or kind is None or not isinstance(n, int):
        return
    if kind is Kind.TASK_POST and receipt["k"] == "refused":
        if key in unit.tasks and unit.tasks[key].made_by == n:
            unit.refuse(key)
        return
    unit.note(key, kind, n)
    if receipt.get("end"):
        unit.is_known_ended(key, n)


def _kind(receipt: Receipt) -> Kind | None:
    try:
        return Kind(receipt.get("m"))
    except ValueError:
        return None
