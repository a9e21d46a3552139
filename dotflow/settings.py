"""Paths and marks that the environment or a fork of the code may change."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What multiprocessing says, which most programs need not load.
START_METHODS = ("spawn",) if sys.platform == "win32" else ("fork", "forkserver", "spawn")
"""How this system can start a process; the first is the default."""


def _positive(name: str, default: int) -> int:
    """The whole number of a variable; the default where it is none, or not above 0."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if text.isdecimal() and int(text) > 0:
        return int(text)
    # The library's logger takes its layout from here, so it is not there yet.
    logging.getLogger("dotflow").warning(
        "%s is %r: it must be a whole number above 0; %d is used.", name, text, default
    )
    return default


def _one_of(name: str, choices: Sequence[str]) -> str:
    """The value of a variable; the first choice where it is none of them."""
    text = os.environ.get(name, "").strip()
    if text in choices or not text:
        return text or choices[0]
    logging.getLogger("dotflow").warning(
        "%s is %r: it must be one of %s; %s is used.", name, text, ", ".join(choices), choices[0]
    )
    return choices[0]


_PATHS = {
    "START_PATH": os.environ.get("DOTFLOW_OUTPUT_PATH") or ".output",
    "LOG_FILE_NAME": "flow.log",
    "LOG_PATH": os.path.join(os.environ.get("DOTFLOW_OUTPUT_PATH") or ".output", "flow.log"),  # noqa: PTH118
    "GITIGNORE": ".gitignore",
}


class _Paths(type):
    """Makes the paths of a class when they are asked for: `pathlib` is slow to load."""

    def __getattr__(cls, name: str) -> Any:
        if name not in _PATHS:
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        from pathlib import Path

        path = Path(_PATHS[name])
        setattr(cls, name, path)
        return path


class Settings(metaclass=_Paths):
    """What holds for the whole process; read from the environment at import."""

    START_PATH: Path
    LOG_FILE_NAME: Path
    LOG_PATH: Path
    GITIGNORE: Path

    LOG_PROFILE = "dotflow"
    LOG_FORMAT = "%(asctime)s - %(levelname)s [%(name)s]: %(message)s"

    ICON = ":game_die:"
    STEP_ICON = ":small_blue_diamond:"
    ERROR_ALERT = ":cross_mark: [bold red]Error:[/bold red]"
    INFO_ALERT = ":information: [bold blue]Info:[/bold blue]"
    WARNING_ALERT = ":warning: [bold yellow]Warning:[/bold yellow]"
    QUESTION_ALERT = ":question: [bold cyan]Question:[/bold cyan]"

    MAX_PROCESSES = _positive("DOTFLOW_MAX_PROCESSES", default=max(4, os.cpu_count() or 1))
    """How many processes a parallel run may have at once."""

    START_METHOD = _one_of("DOTFLOW_START_METHOD", START_METHODS)
    """How the processes of a parallel or grouped run come to be."""
