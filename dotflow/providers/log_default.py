"""Log lines on the console, in a file, or both."""

from __future__ import annotations

import itertools
import logging
import sys
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dotflow.abc.log import LEVELS, Log
from dotflow.logging import logger
from dotflow.settings import Settings

FORMATS = ("simple", "json")
OUTPUTS = ("console", "file", "both")
ALL_LEVELS = {**LEVELS, "CRITICAL": logging.CRITICAL}

_numbers = itertools.count(1)


if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.task import TaskView
    from dotflow.abc.words import Words
    from dotflow.runlog.texts import Redact, Texts

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


class LineFileHandler(logging.FileHandler):
    """Appends lines to a file, which it opens at the first one."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True, errors="backslashreplace")
        self._has_complained = False

    def close(self) -> None:
        """Close the file, with what is still to be written."""
        stream: Any = self.stream
        try:
            super().close()
        except OSError:
            stream.buffer.raw.close()  # without what cannot be written
            self._complain()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        """Say once that lines cannot be written, and not by a traceback a line."""
        self._complain()

    def _complain(self) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.warning(
                "The log file %s cannot be written (%s): lines are missing in it. Make room, or "
                "name another one: LogDefault(path=...).",
                self.baseFilename,
                str(sys.exc_info()[1]),  # not itself, which would hold on to what raised it
            )


class Layout(logging.Formatter):
    """Lays out a line; one of time, level, name and message, in this order, needs no log record.

    Args:
        layout: As of `logging.Formatter`.
        name: The name of the logger.
    """

    def __init__(self, layout: str, name: str) -> None:
        super().__init__(layout)
        self.name = name
        self._second: tuple[int, str] = (-1, "")
        self._around: dict[str, tuple[str, str, str]] = {}
        before, has_time, rest = layout.partition("%(asctime)s")
        if not has_time:
            before, rest = "", layout
        self._has_time = bool(has_time)
        self._between, has_message, self._after = rest.partition("%(message)s")
        self._before = before
        self.is_simple = bool(has_message) and self._can_say_all()

    def _can_say_all(self) -> bool:
        """Whether level and name are all that the layout asks for beside time and message."""
        try:
            self._parts("")
        except (KeyError, TypeError, ValueError):
            return False
        return True

    def line(self, level: str, message: str, time_ns: int) -> str:
        """What `format` makes of a record with these values."""
        before, between, after = self._around.get(level) or self._parts(level)
        if not self._has_time:
            return f"{between}{message}{after}"
        seconds, rest = divmod(time_ns, 1_000_000_000)
        second, text = self._second
        if second != seconds:
            text = time.strftime(self.default_time_format, self.converter(seconds))
            self._second = (seconds, text)
        return f"{before}{text},{rest // 1_000_000:03d}{between}{message}{after}"

    def _parts(self, level: str) -> tuple[str, str, str]:
        values = {"levelname": level, "name": self.name}
        before, between, after = (
            part % values for part in (self._before, self._between, self._after)
        )
        self._around[level] = (before, between, after)
        return before, between, after


class LogDefault(Log):
    """Writes one line for each new status of a task, to the console, to a file, or to both.

    Args:
        level: The lowest level that is written: "DEBUG", "INFO", "WARNING" or "ERROR"; "CRITICAL"
            writes no line about tasks.
        output: "console" (standard error), "file" or "both".
        path: The file. Lines are appended; missing folders are made.
        format: "simple", or "json" for one JSON object a line.
        redact: Called as `redact("error", text)` with the message and with the traceback of an
            error; lines carry what the function returns. By default the `redact` of the run's
            Server.
        whole_values: Whether lines show credentials that an error names; by default the run's
            Server or `DOTFLOW_WHOLE_VALUES` decides.

    Raises:
        ValueError: The level, the output or the format does not exist.
    """

    def __init__(
        self,
        level: str = "INFO",
        output: str = "console",
        path: str | Path = Settings.LOG_PATH,
        format: str = "simple",  # noqa: A002 - the contract's name
        *,
        redact: Redact | None = None,
        whole_values: bool | None = None,
    ) -> None:
        _check("level", level, ALL_LEVELS, level.upper() if isinstance(level, str) else level)
        _check("output", output, OUTPUTS, output)
        _check("format", format, FORMATS, format)
        self._level = ALL_LEVELS[level.upper()]
        self._format = format
        self._texts = _texts(redact, whole_values)
        # getLogger() would keep the logger and its handlers for ever.
        name = f"{Settings.LOG_PROFILE}.log-{next(_numbers)}"
        self._logger = logging.Logger(name, self._level)  # noqa: LOG001
        self._logger.propagate = False
        self._layout = Layout("%(message)s" if format == "json" else Settings.LOG_FORMAT, name)
        if output in ("console", "both"):
            self._add(StandardErrorHandler())
        if output in ("file", "both"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._add(LineFileHandler(path))
        self._own = (self._logger, list(self._logger.handlers))

    def _add(self, handler: logging.Handler) -> None:
        handler.setFormatter(self._layout)
        self._logger.addHandler(handler)
        weakref.finalize(self, handler.close)

    def _words(self, task: TaskView) -> Words:
        return (
            super()._words(task) if self._texts is None else self._texts.words_of(task.errors[-1])
        )

    def _emit(self, level: int, message: str) -> None:
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        if not self._is_as_made(logger):
            logger.log(level, message)
            return
        line = self._layout.line(logging.getLevelName(level), message, time.time_ns())
        for handler in self._own[1]:
            if level >= handler.level:
                _write(handler, line, level, message)

    def _is_as_made(self, logger: logging.Logger) -> bool:
        """Whether nobody has put another logger, handler, layout or filter in place of ours.

        Then a line needs no log record, which costs more than all the rest.
        """
        own, handlers = self._own
        if logger is not own or logger.filters or logger.handlers != handlers:
            return False
        layout = self._layout
        for handler in handlers:
            if handler.formatter is not layout or handler.filters:
                return False
        return layout.is_simple and logging.getLogRecordFactory() is logging.LogRecord


def _texts(redact: Redact | None, whole_values: bool | None) -> Texts | None:
    """What a log of its own choice says of errors; None where it follows the Server."""
    if redact is None and whole_values is None:
        return None
    from dotflow.runlog.texts import Texts  # here, for few programs choose

    return Texts(redact=redact, whole_values=whole_values)


def _check(name: str, given: Any, allowed: Iterable[str], value: Any) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {given!r}")


def _write(handler: Any, line: str, level: int, message: str) -> None:
    """What `handler.handle` does with a record whose line is made already."""
    with handler.lock:
        try:
            stream = handler.stream
            if stream is None:  # a file that is not open yet, or is closed
                handler.handle(_record(handler, level, message))
                return
            stream.write(line + handler.terminator)
            stream.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            handler.handleError(_record(handler, level, message))


def _record(handler: Any, level: int, message: str) -> logging.LogRecord:
    return logging.LogRecord(handler.formatter.name, level, __file__, 0, message, None, None)
