"""Who sees to the workflows of a log: its owner while that lives, else the last to claim them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dotflow.runlog import files

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL = "all"
"""Says, alone on its line, that of all that is left of a dead log somebody is named."""


class Claims:
    """The claims on what one log says to one reader, up to the last `look`.

    Args:
        log: The log's id.
        reader: The reader's key.
    """

    def __init__(self, log: str, reader: str) -> None:
        self._path = files.claims_path(log, reader)
        self._forget()
        self.look()

    def _forget(self) -> None:
        self._read_to = 0
        self._is_all = False
        self._last: dict[str, str] = {}
        self._nested: dict[str, set[str]] = {}

    def look(self) -> bool:
        """Learn of new ones, each of which is read once; False where there are none at all."""
        try:
            size = self._path.stat().st_size
            if size < self._read_to:  # the log was deleted, and is spoken of again
                self._forget()
            data = files.read_file(self._path, self._read_to) if size > self._read_to else b""
        except OSError:
            self._forget()
            return False
        whole = data.rfind(b"\n") + 1
        self._read_to += whole
        for line in data[:whole].split(b"\n"):
            self._learn(line)
        return True

    def _learn(self, line: bytes) -> None:
        try:
            claim = json.loads(line) if line else None
        except (ValueError, RecursionError):
            return
        if not isinstance(claim, dict):
            return
        self._is_all |= claim.get(ALL) is True
        workflow, by = claim.get("w"), claim.get("by")
        if not isinstance(workflow, str) or not isinstance(by, str):
            return
        self._last[workflow] = by
        if claim.get("nested"):
            self._nested.setdefault(workflow, set()).add(f"{by}-{claim['nested']}")

    def owner(self, workflow: str) -> str | None:
        """The log whose owner claimed a workflow last; None where nobody did."""
        return self._last.get(workflow)

    @property
    def workflows(self) -> set[str]:
        """The workflows that anybody has claimed."""
        return set(self._last)

    def are_others(self, me: str) -> bool:
        """Whether processes that live, and not this one, see to all that a dead log says.

        Args:
            me: The id of this process's log.
        """
        owners = set(self._last.values())
        return self._is_all and me not in owners and all(map(files.is_alive, owners))

    def nested_in(self, workflow: str) -> set[str]:
        """The runs of a workflow that began while this log's owner lived: each "log-run"."""
        return self._nested.get(workflow, set())

    def claim_all(self) -> None:
        """Say that all that is left of a dead log is claimed: others need not read it.

        Raises:
            OSError: The file cannot be written.
        """
        if not self._is_all:
            self._write(json.dumps({ALL: True}, separators=(",", ":")) + "\n")
            self._is_all = True

    def claim(self, workflows: Iterable[str], by: str, nested: int = 0) -> None:
        """Claim workflows for the owner of another log; to be called within `files.alone()`.

        Args:
            workflows: Their ids.
            by: The id of the claiming process's log.
            nested: The number of the run that claims them, where this log's owner lives: that run
                is within this log's.

        Raises:
            OSError: The file cannot be written.
        """
        said = "".join(
            json.dumps({"w": one, "by": by, "nested": nested}, separators=(",", ":")) + "\n"
            for one in workflows
        )
        if said:
            self._write(said)
        self._last.update(dict.fromkeys(workflows, by))

    def _write(self, said: str) -> None:
        file = files.OwnFile(self._path)
        try:
            files.write_all(file.fd, f"\n{said}".encode())
        finally:
            file.close()
