"""Sees to the log of a process that reports to nobody, and wants a history of its runs."""

from __future__ import annotations

import contextlib
import time

from dotflow.process import at_exit, watch
from dotflow.process.forking import renew_in_child
from dotflow.runlog import files, history, limits
from dotflow.runlog.reader import destinations_of
from dotflow.runlog.writer import RunLog, run_log

KEY = "history"
"""What holds the log open; it is in no line, for nobody is told anything."""

GATHER = 60.0
"""Seconds between two looks at what dead processes have left for nobody."""


class Keeper:
    """Does for a log what its readers would do: signs of life, another file where one is long.

    Args:
        log: The log of this process.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin with nothing in a forked child: the log there is another one."""
        self._is_here = False
        self._gather_at = 0.0

    def is_wanted(self) -> bool:
        """Whether this process wants a history, and has a disk for it."""
        return history.wanted() > 0 and self._log.is_durable

    def join(self) -> None:
        """Have the log be seen to until the process ends; called when a run begins."""
        at_exit.close_in_child()
        watch.over(KEY, self._look)
        self._log.hold(KEY)
        if not self._is_here:
            self._is_here = True
            at_exit.keep(self)
            at_exit.close_here()

    def close(self, timeout: float | None = None) -> None:  # noqa: ARG002 - it takes no time
        """Let go of the log: what it says goes to the history."""
        self._is_here = False
        watch.leave(KEY)
        at_exit.forget(self)
        self._log.leave(KEY)

    def _look(self) -> None:
        log = self._log
        log.beat()
        log.roll()
        segments = list(log.segments)
        for segment in segments:  # what is in memory is for nobody
            segment.read_memory(self, len(segment.lines), 0)
        for segment in segments[:-1]:
            log.done(segment, KEY)
        if time.monotonic() >= self._gather_at:
            self._gather_at = time.monotonic() + GATHER
            limits.tidy([log.id])
            gather(log.id)


def gather(own: str = "") -> None:
    """Have the history take what dead processes have left for nobody.

    Args:
        own: The id of this process's log.
    """
    for log, segments in files.logs().items():
        if log != own and not destinations_of(segments) and not files.is_alive(log):
            with contextlib.suppress(OSError), files.alone():
                files.delete_log(log)


keeper = Keeper(run_log)
"""That of this process."""
