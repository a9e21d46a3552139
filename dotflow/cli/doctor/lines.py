"""The lines that the library logs while it looks: each says what is wrong with a variable."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.process.variables import warn

if TYPE_CHECKING:
    from collections.abc import Iterator


MOST = 1000
"""Characters of a line that are kept."""


class Kept(logging.Handler):
    """Keeps what is said, in place of whoever would write it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.said.append(record.getMessage()[:MOST])


@contextmanager
def kept_lines() -> Iterator[list[str]]:
    """Have warnings of the library be kept, and not written; what was said before is said again.

    Yields:
        The lines so far.
    """
    warn.cache_clear()
    kept = Kept()
    handlers, propagates = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [kept], False
    try:
        yield kept.said
    finally:
        logger.handlers, logger.propagate = handlers, propagates
