"""Locks that say that a call about a workflow is under way: it may be anybody's run next."""

from __future__ import annotations

import hashlib

from dotflow.runlog import files

BUCKETS = 64
"""Files whose locks stand for the workflows; two that share one only wait for each other."""


class Calls:
    """The workflows of which this process has calls under way that another may want to follow.

    Args:
        key: The key of the destination's reader.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._held: dict[int, tuple[files.OwnFile, int]] = {}

    def hold(self, workflow: str) -> bool:
        """Hold a workflow once more; False where another process has a call under way."""
        bucket = self._bucket(workflow)
        file, users = self._held.get(bucket, (None, 0))
        if file is None:
            file = _locked(bucket)
            if file is None:
                return False
        self._held[bucket] = (file, users + 1)
        return True

    def let_go(self, workflow: str) -> None:
        """Hold it once less; with the last one other processes may go on."""
        bucket = self._bucket(workflow)
        file, users = self._held.get(bucket, (None, 0))
        if file is None:
            return
        if users > 1:
            self._held[bucket] = (file, users - 1)
            return
        del self._held[bucket]
        file.close()

    def close(self) -> None:
        """Let go of all."""
        for file, _ in self._held.values():
            file.close()
        self._held = {}

    def _bucket(self, workflow: str) -> int:
        digest = hashlib.sha256(f"{self._key}/{workflow}".encode("utf-8", "replace")).digest()
        return digest[0] % BUCKETS


def _locked(number: int) -> files.OwnFile | None:
    """The locked file of a bucket; None where another process has it."""
    try:
        file = files.OwnFile(files.folder() / f"call-{number:02d}.lock")
    except OSError:
        return None
    if files.lock(file.fd):
        return file
    file.close()
    return None
