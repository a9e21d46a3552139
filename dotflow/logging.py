"""The library's own logger: what it has to say of itself, not of the runs."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import Any

from dotflow.settings import Settings
from dotflow.utils.error_handler import traceback_error
from dotflow.utils.printable import printable

LONGEST_WAIT = 0.2
"""Seconds that a fork, or another line, waits until a thread has written its line."""


class _Writing:
    """Held by the thread that writes a line, and by one that forks; a context manager.

    A stream that another thread was writing to stays locked in the forked child, which would wait
    for it at its end. See https://github.com/python/cpython/issues/50970. Where a handler hangs,
    only the first that comes waits for it: nothing is worth holding up the work.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_worth_waiting = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self.__enter__, after_in_parent=self.__exit__, after_in_child=self._renew
            )

    def __enter__(self) -> None:
        seconds = LONGEST_WAIT if self._is_worth_waiting else 0.0
        self._is_worth_waiting = self._lock.acquire(timeout=seconds)

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # it was not to be had in time
            self._lock.release()

    def _renew(self) -> None:
        self._lock, self._is_worth_waiting = threading.RLock(), True


_writing = _Writing()


class HeardLogger(logging.Logger):
    """A logger that stays on when the program configures logging later.

    `logging.config` disables each logger that exists and is not named, by default. What this one
    says is of reports that wait or are lost. Who wants less of it sets its level.
    """

    @property
    def disabled(self) -> bool:
        """Whether it is switched off: never."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        """Take no notice."""

    def handle(self, record: logging.LogRecord) -> None:
        """Hand on a record, without the credentials that it, or its exception, names."""
        _mask(record)
        with _writing:
            super().handle(record)


def _mask(record: logging.LogRecord) -> None:
    from dotflow.core.task_error import TaskError  # here, for it is rare that there is one
    from dotflow.utils.masking import masked_by_default

    with contextlib.suppress(Exception):  # who writes the record says what is wrong with it
        text = record.getMessage()
        masked = masked_by_default(text)
        if masked != text:
            record.msg, record.args = masked, None
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        # An exception may do anything when it is put in words.
        text = TaskError(error).traceback.rstrip("\n")
        record.exc_text = masked_by_default(text)
        if record.exc_text != text:
            record.exc_info = None  # others put it in words of their own


class Layout(logging.Formatter):
    """Shows an exception from the user's code on, as everywhere; commands no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record: it may quote a name, an id or a server."""
        return printable(super().format(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the standard library's name
        """The text of an exception."""
        return traceback_error(ei[1]).rstrip("\n") if ei[1] is not None else ""


def _make() -> logging.Logger:
    made = logging.getLogger(Settings.LOG_PROFILE)
    if type(made) is logging.Logger:
        vars(made).pop("disabled", None)
        made.__class__ = HeardLogger
    made.setLevel(logging.INFO)
    if not made.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(Layout(Settings.LOG_FORMAT))
        made.addHandler(handler)
    return made


logger = _make()
