"""Which workflows the logs of other processes speak of; each byte of them is looked at once."""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from dotflow.runlog import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORTION = 2**20
"""Bytes that are read at a time."""

_WORKFLOW = re.compile(rb',"w":("(?:[^"\\]|\\.)*"),"r":')


class Mentions:
    """What was found in each file so far; called by one thread."""

    def __init__(self) -> None:
        self._found: dict[Path, set[bytes]] = {}
        self._looked_to: dict[Path, int] = {}

    def logs_about(self, workflow: str, own: str) -> Iterator[tuple[str, list[Path]]]:
        """The logs that speak of a workflow, each with its files.

        Args:
            workflow: The workflow's id.
            own: The id of this process's log, which is not asked about.
        """
        logs = files.logs()
        self._forget({path for segments in logs.values() for path in segments})
        wanted = encode_basestring_ascii(workflow).encode()
        for log, segments in logs.items():
            if log != own and any(wanted in self._spoken_of(path) for path in segments):
                yield log, segments

    def _spoken_of(self, path: Path) -> set[bytes]:
        """The ids in a file, as they are written there."""
        found = self._found.setdefault(path, set())
        try:
            while data := files.read_file(path, self._looked_to.get(path, 0), PORTION):
                found.update(_WORKFLOW.findall(data))
                done = data.rfind(b"\n") + 1
                if not done and len(data) == PORTION:  # a longer line, which says it at its end
                    done = PORTION // 2
                if not done:
                    break
                self._looked_to[path] = self._looked_to.get(path, 0) + done
        except OSError:
            pass
        return found

    def _forget(self, there: set[Path]) -> None:
        for path in self._found.keys() - there:
            del self._found[path]
            self._looked_to.pop(path, None)
