"""The history: files of the run log that all readers are done with, kept for people to look at.

Nothing there waits for anybody: it is in a folder of its own, is never taken over and never sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dotflow.runlog import files
from dotflow.runlog.folder import NOWHERE, state_dir

if TYPE_CHECKING:
    from pathlib import Path

    from dotflow.runlog.texts import Texts

FOLDER = "history"
RAW = ".raw"
"""How the name of a file ends that was kept a moment ago, and is as it was in the run log."""

_VALUES = frozenset({
    "initial", "previous", "current", "error", "said", "name", "title", "group", "plan",
    "cut_initial", "cut_previous", "cut_current",
})  # fmt: skip
"""What a line says in words of the user's."""


def folder() -> Path:
    """Where files are kept; a folder that can never be made where none was found."""
    try:
        return state_dir() / FOLDER
    except OSError:
        return NOWHERE


def kept() -> list[tuple[str, int, Path]]:
    """The files that are kept: each one's log, its number there, and where it is."""
    raw, whole = (files.segments_in(folder(), end) for end in (RAW, files.LOG))
    return [*raw, *whole]  # who reads them in this order has the masked one of two


def is_masked(path: Path) -> bool:
    """Whether a file is one that was kept, and is masked."""
    return path.parent == folder() and path.suffix == files.LOG


def masked(fact: dict[str, Any]) -> dict[str, Any]:
    """A line without the credentials that it names, whatever its destinations may see of them."""
    texts = _texts()
    return {
        key: json.loads(texts.of("current", value)) if key in _VALUES else value
        for key, value in fact.items()
    }


_made: list[Texts] = []


def _texts() -> Texts:
    if not _made:
        from dotflow.runlog.texts import Texts  # here, for most programs keep no history

        _made.append(Texts(whole_values=False))
    return _made[0]
