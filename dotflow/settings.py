"""Paths and marks that the environment or a fork of the code may change."""

from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

START_METHODS = tuple(
    method
    for method in ("fork", "forkserver", "spawn")
    if method in multiprocessing.get_all_start_methods()
)
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


class Settings:
    """What holds for the whole process; read from the environment at import."""

    START_PATH = Path(os.environ.get("DOTFLOW_OUTPUT_PATH") or ".output")
    LOG_FILE_NAME = Path("flow.log")
    LOG_PATH = START_PATH / LOG_FILE_NAME
    LOG_PROFILE = "dotflow"
    LOG_FORMAT = "%(asctime)s - %(levelname)s [%(name)s]: %(message)s"

    GITIGNORE = Path(".gitignore")

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
