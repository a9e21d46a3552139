"""Attributes of metrics: few, without ids, and not without end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation

from dotflow.otel.spans.values import short

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 1000
"""Different sets of attributes of one metric in a process. A program that makes names of workflows,
tasks or groups from data would have a backend keep a series for each."""

TOO_MANY: dict[str, Any] = {"otel.metric.overflow": True}
"""What OpenTelemetry's SDK says of those that are too many for it."""


class Labels:
    """The attributes of one metric, each set made once; called by one thread at a time.

    Args:
        names: Their names, in the order in which `of` is given their values.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._known: dict[tuple[str | None, ...], dict[str, Any]] = {}

    def of(self, *values: str | None) -> dict[str, Any]:
        """The attributes with these values, without those that are None.

        What comes when there are too many is together under `otel.metric.overflow`.
        """
        known = self._known.get(values)
        if known is not None:
            return known
        if len(self._known) >= MOST:
            return TOO_MANY
        found = {
            name: short(value)
            for name, value in zip(self._names, values, strict=True)
            if value is not None
        }
        self._known[values] = found
        return found


class Active:
    """How many of something are under way, by their attributes.

    Those of which the last one has ended are 0 from then on: a backend would go on to show what it
    was told before.

    Args:
        names: The names of the attributes.
    """

    def __init__(self, *names: str) -> None:
        self._labels = Labels(*names)
        self._seen: dict[int, dict[str, Any]] = {}

    def observed(self, under_way: Iterable[tuple[str | None, ...]]) -> list[Observation]:
        """How many there are now; called by a reader that collects.

        Args:
            under_way: The values of the attributes of each.
        """
        counts: Counter[int] = Counter(dict.fromkeys(self._seen, 0))
        for values in under_way:
            attributes = self._labels.of(*values)
            self._seen[id(attributes)] = attributes
            counts[id(attributes)] += 1
        return [Observation(count, self._seen[one]) for one, count in counts.items()]

    def forget(self) -> None:
        """Know of none any more."""
        self._seen.clear()
