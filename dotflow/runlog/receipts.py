"""What a reader has said of a segment: lines in a file beside it, only ever appended."""

from __future__ import annotations

import errno
import json
import logging
from typing import TYPE_CHECKING, Any

from dotflow.logging import logger
from dotflow.runlog import files
from dotflow.utils.json_text import encoder_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Receipt = dict[str, Any]

DONE = "done"
"""The receipt of a reader that needs a dead log, or a workflow of it, no more."""

RUN_DONE = "run done"
"""The same of one run of a workflow, of which other runs are left."""

_encode = encoder_of(is_ascii=True)
_SAID = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOENT)


class Receipts:
    """Appends a reader's receipts for one segment; called by the reader's thread.

    Several processes that took over what a dead one left may append to the same file.

    Args:
        segment: The segment's file; None for one in memory, which needs no receipts.
        reader: The reader's key.
    """

    def __init__(self, segment: Path | None, reader: str) -> None:
        self._path = None if segment is None else files.receipts_path(segment, reader)
        self._file: files.OwnFile | None = None
        self._complained_at = logging.NOTSET

    def write(self, receipts: Iterable[Receipt]) -> bool:
        """Write receipts; False where that failed: then a later process repeats what was said."""
        text = "".join([f"{_encode(one)}\n" for one in receipts])
        if not text or self._path is None:
            return True
        data = text.encode()
        try:
            self._write(data)
        except OSError as error:
            # A step that closes all descriptors may do so between our look and our write.
            if error.errno == errno.EBADF:
                return self._written_again(data)
            self._complain(error)
            return False
        return True

    def _written_again(self, data: bytes) -> bool:
        try:
            self._write(data)
        except OSError as error:
            self._complain(error)
            return False
        return True

    def _write(self, data: bytes) -> None:
        if self._file is None or not self._file.is_open():
            self.close()  # before another is opened, which may get its number
            self._file = None if self._path is None else files.OwnFile(self._path)
            data = b"\n" + data  # the last one may have died within a line
        if self._file is not None:
            files.write_all(self._file.fd, data)

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _complain(self, error: OSError) -> None:
        self.close()
        # Of a full disk, and of a folder that was removed, the log says enough.
        level = logging.INFO if error.errno in _SAID else logging.WARNING
        if level > self._complained_at:  # once, and once more if it is worse
            self._complained_at = level
            logger.log(
                level, "%s cannot be written (%s): a report may be repeated.", self._path, error
            )


def read_receipts(segment: Path, reader: str) -> list[Receipt]:
    """The receipts of a reader for a segment, in order; what is torn or damaged is passed over."""
    try:
        return _parsed(files.read_file(files.receipts_path(segment, reader)))
    except OSError:
        return []


def is_done(segments: list[Path], reader: str) -> bool:
    """Whether a reader has said that it needs a dead log no more."""
    receipts = read_receipts(segments[-1], reader)
    return any(one.get("k") == DONE and "w" not in one for one in receipts)


def is_run_done(said: Sequence[Receipt]) -> bool:
    """Whether the receipts of a run say that nothing is left to say of it."""
    return any(one.get("k") == RUN_DONE for one in said)


def _parsed(data: bytes) -> list[Receipt]:
    found = []
    for line in data.split(b"\n"):
        try:
            receipt = json.loads(line.decode()) if line else None
        except (ValueError, RecursionError):
            continue
        if isinstance(receipt, dict):
            found.append(receipt)
    return found


class SeenReceipts:
    """The receipts of a reader for a log, workflow by workflow; each byte of them is read once.

    Args:
        segments: The log's files, in order.
        reader: The reader's key.
    """

    def __init__(self, segments: list[Path], reader: str) -> None:
        self._segments = segments
        self._reader = reader
        self._offsets = dict.fromkeys(segments, 0)
        self._kept: dict[Path, dict[str, list[Receipt]]] = {path: {} for path in segments}
        self._done: set[str] = set()
        self._taken: set[str] = set()

    def done(self) -> set[str]:
        """The workflows of which nothing is left to say."""
        self._look()
        return self._done

    def take(self, workflow: str) -> list[Receipt]:
        """What was said of a workflow up to now; the memory is free afterwards."""
        if workflow in self._taken:  # it was left to another process meanwhile
            found = (one for path in self._segments for one in read_receipts(path, self._reader))
            return [one for one in found if one.get("w") == workflow]
        self._look()
        self._taken.add(workflow)
        return [one for kept in self._kept.values() for one in kept.pop(workflow, ())]

    def _look(self) -> None:
        """Read what is new; a line that is not whole is read again."""
        for path in self._segments:
            receipts, read_to = files.receipts_path(path, self._reader), self._offsets[path]
            try:
                is_new = receipts.stat().st_size > read_to
                data = files.read_file(receipts, read_to) if is_new else b""
            except OSError:
                continue
            whole = data.rfind(b"\n") + 1
            self._offsets[path] += whole
            for receipt in _parsed(data[:whole]):
                self._keep(path, receipt)

    def _keep(self, path: Path, receipt: Receipt) -> None:
        workflow = receipt.get("w")
        if not isinstance(workflow, str):
            return
        if receipt.get("k") == DONE and path == self._segments[-1]:
            self._done.add(workflow)
        if workflow not in self._taken:
            self._kept[path].setdefault(workflow, []).append(receipt)
