"""Log lines on the console, in a file, or both."""

from __future__ import annotations

import itertools
import logging
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dotflow.abc.log import LEVELS, Log
from dotflow.settings import Settings

FORMATS = ("simple", "json")
OUTPUTS = ("console", "file", "both")

_numbers = itertools.count(1)


if TYPE_CHECKING:
    StreamHandler = logging.StreamHandler[TextIO]
else:  # Python 3.10 cannot say of what
    StreamHandler = logging.StreamHandler


class StandardErrorHandler(StreamHandler):
    """Writes to what `sys.stderr` is when a line is written, not when the handler was made.

    Attributes:
        lowest: The level below which nothing is written, of handlers that are made from now on.
    """

    lowest = logging.NOTSET

    def __init__(self) -> None:
        logging.Handler.__init__(self, self.lowest)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The standard error stream of now."""
        return sys.stderr


class LogDefault(Log):
    """Writes one line for each turn of a task.

    Args:
        level: "DEBUG", "INFO", "WARNING" or "ERROR"; any other is "INFO".
        output: "console" (standard error), "file" or "both".
        path: The file; lines are appended, folders above it are made.
        format: "simple" or "json" (one object a line); any other is "simple".
    """

    def __init__(
        self,
        level: str = "INFO",
        output: str = "console",
        path: str | Path = Settings.LOG_PATH,
        format: str = "simple",  # noqa: A002 - the contract's name
    ) -> None:
        self._level = LEVELS.get(str(level).upper(), logging.INFO)
        self._format = format if format in FORMATS else "simple"
        # getLogger() would keep the logger and its handlers for ever.
        name = f"{Settings.LOG_PROFILE}.log-{next(_numbers)}"
        self._logger = logging.Logger(name, self._level)  # noqa: LOG001
        self._logger.propagate = False
        if output not in OUTPUTS:
            output = "console"
        if output in ("console", "both"):
            self._add(StandardErrorHandler())
        if output in ("file", "both"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._add(
                logging.FileHandler(path, encoding="utf-8", delay=True, errors="backslashreplace")
            )

    def _add(self, handler: logging.Handler) -> None:
        layout = "%(message)s" if self._format == "json" else Settings.LOG_FORMAT
        handler.setFormatter(logging.Formatter(layout))
        self._logger.addHandler(handler)
        weakref.finalize(self, handler.close)
