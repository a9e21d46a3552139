"""Output streams that a forked child can write to."""

from __future__ import annotations

import io
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core import forked

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD = ("stdout", "stderr")

PATIENCE = 0.2
"""Seconds in which a stream that is free has long said so. It costs nothing to be wrong: another
stream to the same place is as good."""


def renew_streams() -> None:
    """Replace the standard streams, and those of log handlers, that the fork left locked.

    A thread of the parent was writing to them, which the child does not have: whoever wrote to one
    would wait for ever, `multiprocessing` included, which flushes the standard streams at the end
    of every child. See https://github.com/python/cpython/issues/50970. Called in the child before
    anything is written. A parent without other threads leaves nothing locked.
    """
    if forked.was_alone:
        return
    streams = list({id(stream): stream for stream in _streams()}.values())
    while streams:
        answers: list[bool] = []
        thread = threading.Thread(target=_ask, args=(streams, answers), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had: the streams are free, most likely
            return
        thread.join(PATIENCE)
        known = answers.copy()
        if len(known) < len(streams):  # the thread waits for the lock of the next one
            known.append(False)
        for stream, is_free in zip(streams, known, strict=False):
            if not is_free:
                _replace(stream)
        streams = streams[len(known) :]


def _streams() -> Iterator[Any]:
    for name in STANDARD:
        yield getattr(sys, name)
    for handler in _handlers():
        yield getattr(handler, "stream", None)


def _handlers() -> list[logging.Handler]:
    """All handlers that there are: whose locks `logging` has made anew here, if it says which."""
    known: Any = getattr(logging, "_at_fork_reinit_lock_weakset", None)
    if known is not None:
        return list(known)
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return [handler for one in loggers for handler in getattr(one, "handlers", ())]


def _ask(streams: list[Any], answers: list[bool]) -> None:
    """Say of each stream in turn whether it is free; one that is not may hold this for ever."""
    for stream in streams:
        answers.append(_is_free(stream))  # noqa: PERF401 - each is seen as it comes


def _is_free(stream: Any) -> bool:
    try:
        stream.buffer.write(b"")  # takes the lock, and does nothing else
    except RuntimeError:  # "reentrant call": the thread that is not here had this one's number
        return False
    except Exception:  # noqa: BLE001, S110 - it is closed, or none of the system's; it answers
        pass
    return True


def _replace(stream: Any) -> None:
    try:
        new = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(stream.fileno(), "w", closefd=False)),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
    except (OSError, ValueError, AttributeError):  # nothing that the system knows
        return
    for name in STANDARD:
        if getattr(sys, name) is stream:
            setattr(sys, name, new)
    for handler in _handlers():
        if getattr(handler, "stream", None) is stream:
            handler.stream = new  # type: ignore[attr-defined] # setStream() would flush the old one
