"""Children that run a step: they only write, and their parent reads what they wrote."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from dotflow.runlog.lines import compact
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_KEY = "dotflow-log"
"""Where a carrier names the parent's log; no propagator reads it."""

LAUNCHED_KEY = "dotflow-launched"
"""Where a carrier says that OpenTelemetry's launcher has set the parent up."""

LAUNCHER = "opentelemetry.instrumentation.auto_instrumentation"

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
        """Learn that this process runs a step for the process that made the carrier.

        A worker of an executor may do so for one after another.
        """
        self.is_one = True
        parent = carrier.get(LOG_KEY) or self._before_fork
        if parent != self._parent:
            self._parent = parent
            self._has_said_so = ""

    @property
    def log(self) -> str:
        """The log of who sends what is written here: its own, unless this is a child."""
        return self._parent if self.only_writes else run_log.id

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


def _is_launched() -> bool:
    """Whether the launcher set this process up: Python has loaded its module before all others."""
    first = getattr(sys.modules.get("sitecustomize"), "__file__", None) or ""
    return first.endswith(os.path.join(*LAUNCHER.split("."), "sitecustomize.py"))  # noqa: PTH118


_LAUNCHED = {LAUNCHED_KEY: "true"} if _is_launched() else {}


def for_a_child() -> dict[str, str]:
    """What a child needs to know of the log of its parent, and of who set that up."""
    return {LOG_KEY: step_child.log, **_LAUNCHED}


def launch(carrier: Mapping[str, str]) -> None:
    """Have the launcher set this child up as it did its parent; its older releases do not."""
    if LAUNCHED_KEY in carrier:
        import_module(LAUNCHER).initialize()
