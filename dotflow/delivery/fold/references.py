"""Contexts that a line refers to: the next task's previous one is the result of the task before."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from dotflow.runlog import lines
from dotflow.runlog.reader import SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.runlog.reader import Fact

MOST = 64
"""Results that are kept for the lines that follow them; an older one is looked up in the file."""

MOST_BYTES = 2**23
"""Bytes of the lines that these are from; of the last one more."""

_HAS_RESULT = frozenset({lines.TASK_ENDED, lines.RESTORED})
_MISSING = object()


class References:
    """Puts what a line refers to into it; called for every line, in the order of the file."""

    def __init__(self) -> None:
        self._results: OrderedDict[int, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def resolve(self, fact: Fact, all_facts: Callable[[], Iterable[Fact]]) -> None:
        """Give a fact the previous context that it refers to.

        Args:
            fact: The fact; a result in it is kept for those that follow.
            all_facts: Gives all facts of the file, should the result not be kept any more.
        """
        if fact["f"] in _HAS_RESULT:
            self._keep(fact)
        number = fact.pop(lines.PREVIOUS_OF, None)
        if number is None:
            return
        found, _ = self._results.get(number, (_MISSING, 0))
        if found is _MISSING:
            of = (one for one in all_facts() if one["f"] in _HAS_RESULT and one["n"] == number)
            found = next((one.get("current") for one in of), None)
        fact["previous"] = found

    def _keep(self, fact: Fact) -> None:
        size = fact.get(SIZE, 0)
        self._results[fact["n"]] = fact.get("current"), size
        self._bytes += size
        while len(self._results) > MOST or (self._bytes > MOST_BYTES and len(self._results) > 1):
            _, (_, size) = self._results.popitem(last=False)
            self._bytes -= size


def resolve_all(facts: list[Fact]) -> None:
    """Give all facts of a log the previous contexts that they refer to."""
    results = {fact.get("n"): fact.get("current") for fact in facts if fact["f"] in _HAS_RESULT}
    for fact in facts:
        number = fact.pop(lines.PREVIOUS_OF, None)
        if number is not None:
            fact["previous"] = results.get(number)
