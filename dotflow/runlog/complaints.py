"""What the log of a process says when something is wrong with it: one line for each, once."""

from __future__ import annotations

from dotflow.logging import logger
from dotflow.runlog.segment import LostFileError


class Complaints:
    """Says each thing once a process."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def no_disk(self, why: str) -> None:
        """Say that lines are in memory only."""
        self._once("disk", (
            "Reports cannot be kept on disk (%s): those not delivered when the process ends are "
            "lost. Set DOTFLOW_STATE_DIR to a folder that can be written."), why,
        )  # fmt: skip

    def lost_file(self, error: Exception) -> None:
        """Say that something else has done away with the file, if that is what an error says."""
        if isinstance(error, LostFileError) and error.why:
            self._once("lost", (
                "The file that keeps reports %s by something else: dotflow goes on in another one. "
                "Reports in it that are not delivered may be lost if this process is killed."),
                error.why,
            )  # fmt: skip

    def over(self, limit: int) -> None:
        """Say that too much waits."""
        self._once("over", (
            "More than %d bytes wait to be delivered (DOTFLOW_OUTBOX_MAX_BYTES): attempts and "
            "retries are left out of the reports, ends are kept."), limit,
        )  # fmt: skip

    def _once(self, about: str, text: str, value: object) -> None:
        if about not in self._said:
            self._said.add(about)
            logger.warning(text, value)
