"""Children that run a step: they only write, and their parent reads what they wrote."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotflow.runlog.lines import compact
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_KEY = "dotflow-log"
"""Where a carrier names the parent's log; no propagator reads it."""

CHILD = "child"
"""The kind of the line that says whose child wrote a log."""


class StepChild:
    """Whether this process is a child that runs a step, and whose."""

    def __init__(self) -> None:
        self.is_one = False
        self._parent = ""
        self._has_said_so = ""
        self._before_fork = ""
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._note)

    def _note(self) -> None:
        self._before_fork = run_log.id

    def begin(self, carrier: Mapping[str, str]) -> None:
        """Learn that this process runs a step for the process that made the carrier."""
        if not self.is_one:
            self.is_one = True
            self._parent = carrier.get(LOG_KEY) or self._before_fork

    @property
    def only_writes(self) -> bool:
        """Whether what ends here is left to the parent to send."""
        return self.is_one and run_log.is_durable

    def say_so(self) -> None:
        """Say in the log of this process whose child wrote it, once."""
        if self._has_said_so != run_log.id:
            run_log.append(f'{{"f":"{CHILD}","of":{compact(self._parent)}}}\n'.encode())
            self._has_said_so = run_log.id


step_child = StepChild()


def for_a_child() -> dict[str, str]:
    """What a child needs to know of the log of its parent."""
    return {LOG_KEY: run_log.id}
