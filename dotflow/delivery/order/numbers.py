"""Sets of tasks' numbers: a run may have a hundred thousand."""

from __future__ import annotations


class Numbers:
    """A set of tasks' numbers that takes about a bit for each."""

    __slots__ = ("_bits",)

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}

    def add(self, number: int) -> None:
        """Put a number in."""
        place = number >> 8
        self._bits[place] = self._bits.get(place, 0) | 1 << (number & 255)

    def update(self, others: Numbers) -> None:
        """Put all numbers of another set in."""
        for place, bits in others._bits.items():
            self._bits[place] = self._bits.get(place, 0) | bits

    def __contains__(self, number: int) -> bool:
        return bool(self._bits.get(number >> 8, 0) >> (number & 255) & 1)
