"""What has left: receipts beside a log, one for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.runlog.receipts import DONE, Receipts, read_receipts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LEFT = "left"
"""The receipt of a batch: the numbers of the lines that ended its spans. A negative number is the
id of a span that the death of its process ended."""


class SpanReceipts(Receipts):
    """Receipts of an endpoint."""

    def done(self) -> None:
        """Say that nothing of it is needed any more."""
        self.write([{"k": DONE}])


def left_of(segments: Iterable[Path], reader: str) -> set[int]:
    """The numbers of the spans of a log that have left."""
    found: set[int] = set()
    for segment in segments:
        for receipt in read_receipts(segment, reader):
            if receipt.get("k") == LEFT:
                found.update(n for n in receipt.get("n") or () if isinstance(n, int))
    return found


def is_done(segments: list[Path], reader: str) -> bool:
    """Whether a reader has said that it needs a log no more."""
    return any(one.get("k") == DONE for one in read_receipts(segments[-1], reader))
