"""Who sees to the workflows of a log: its owner while that lives, else the last to claim them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dotflow.runlog import files

if TYPE_CHECKING:
    from collections.abc import Iterable


class Claims:
    """The claims on what one log says to one reader, as they were when this was made.

    Args:
        log: The log's id.
        reader: The reader's key.
    """

    def __init__(self, log: str, reader: str) -> None:
        self._path = files.claims_path(log, reader)
        self._last: dict[str, str] = {}
        self._nested: dict[str, set[str]] = {}
        for claim in self._read():
            workflow, by = claim.get("w"), claim.get("by")
            if not isinstance(workflow, str) or not isinstance(by, str):
                continue
            self._last[workflow] = by
            if claim.get("nested"):
                self._nested.setdefault(workflow, set()).add(f"{by}-{claim['nested']}")

    def owner(self, workflow: str) -> str | None:
        """The log whose owner claimed a workflow last; None where nobody did."""
        return self._last.get(workflow)

    def nested_in(self, workflow: str) -> set[str]:
        """The runs of a workflow that began while this log's owner lived: each "log-run"."""
        return self._nested.get(workflow, set())

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
        if not said:
            return
        file = files.OwnFile(self._path)
        try:
            files.write_all(file.fd, f"\n{said}".encode())
        finally:
            file.close()
        for workflow in workflows:
            self._last[workflow] = by

    def _read(self) -> list[dict[str, object]]:
        try:
            data = files.read_file(self._path)
        except OSError:
            return []
        found = []
        for line in data.split(b"\n"):
            try:
                claim = json.loads(line) if line else None
            except (ValueError, RecursionError):
                continue
            if isinstance(claim, dict):
                found.append(claim)
        return found
