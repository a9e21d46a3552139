"""How StorageFile keeps what JSON cannot say: pickled, where nobody else can have written it."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import zlib
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ValueNotKept
from dotflow.core.jsonable import type_name
from dotflow.core.task_error import TaskError
from dotflow.process.within import Failed, within
from dotflow.utils.error_handler import class_and_message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAGIC = b"dotflow pickle "
PROTOCOL = 5
LARGEST = 2**32
"""Bytes that the pickle of one value may have: one that makes more without end has an end here."""

PATIENCE = 30.0
"""Seconds that a value may take without any more of its pickle being written, or read."""

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
USE_DATA = "return data that can be pickled, or write it to a file and return its path"


class Unreadable(Exception):
    """A value that was kept cannot be had again; the message says why."""


class _Sink(io.BytesIO):
    """Takes a pickle, up to a limit."""

    def write(self, data: Any) -> int:
        """Take a part of it."""
        if self.tell() + len(data) > LARGEST:
            raise OverflowError(f"its pickle has more than {LARGEST:,} bytes")
        return super().write(data)


def packed(
    value: Any, sign: Callable[[str, memoryview], str] | None = None
) -> list[bytes | memoryview]:
    """The bytes of a file that keeps a value, in parts.

    Args:
        value: The value.
        sign: Makes a signature of the name of its type, and its pickle.

    Raises:
        ValueNotKept: The value cannot be pickled.
    """
    sink = _Sink()
    done = within(PATIENCE, lambda: pickle.Pickler(sink, PROTOCOL).dump(value), sink.tell)
    if isinstance(done, Failed):
        sink.close()  # so that what still writes to it has an end
        raise ValueNotKept(type_name(value), f"cannot be pickled ({_words(done)})", USE_DATA)
    payload = sink.getbuffer()
    kind = type_name(value)
    about = {"type": kind, "bytes": len(payload), "crc": _crc(kind, payload)}
    if sign is not None:
        about["hmac"] = sign(kind, payload)
    return [MAGIC + json.dumps(about).encode() + b"\n", payload]


def opened(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """What a file with these bytes says of its pickle, and the pickle.

    Raises:
        Unreadable: They are not whole.
    """
    end = data.find(b"\n") + 1
    payload = memoryview(data)[end:]
    try:
        about = json.loads(data[len(MAGIC) : end])
        kind = about["type"]
        is_whole = (about["bytes"], about["crc"]) == (len(payload), _crc(kind, payload))
    except (ValueError, TypeError, KeyError, AttributeError):
        is_whole = False
    if not is_whole:
        raise Unreadable("the file is not whole")
    return about, payload


def unpacked(data: bytes) -> Any:
    """The value that a file with these bytes keeps.

    Raises:
        Unreadable: They are not whole, or the value cannot be unpickled here.
    """
    about, payload = opened(data)
    kind = about["type"]
    stream = io.BytesIO(payload)
    value = within(PATIENCE, pickle.Unpickler(stream).load, stream.tell)  # noqa: S301 - it is ours
    if type(value) is Failed:  # `isinstance` would ask the value
        why = f"it is of type {kind}, which cannot be unpickled here: {_words(value)}"
        raise Unreadable(why)
    if type_name(value) != kind:
        raise Unreadable(f"it was of type {kind}, and pickle makes {type_name(value)} of it")
    return value


def _words(failed: Failed) -> str:
    error = TaskError(failed.error)
    return class_and_message(error.exception, error.message)


def _crc(kind: str, payload: memoryview) -> int:
    return zlib.crc32(payload, zlib.crc32(kind.encode("utf-8", "surrogatepass")))


def fault_of_folder(folder: Path) -> str | None:
    """What keeps pickles from a folder: others can write to it, or put another in its place."""
    if not hasattr(os, "geteuid"):
        return f"this system does not say who may write to {folder}"
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is a link"
    fault = fault_of(found, str(folder))
    for above in folder.parents if fault is None else ():
        found = above.lstat()
        is_link = stat.S_ISLNK(found.st_mode)
        others = _others_write(found) and not (is_link or found.st_mode & stat.S_ISVTX)
        if others or (is_link and found.st_uid not in (0, os.geteuid())):
            return f"others can put another folder in the place of {folder}, by way of {above}"
    return fault


def fault_of(found: os.stat_result, name: str) -> str | None:
    """What makes a file or folder nothing to trust: it is another user's, or others write to it."""
    if found.st_uid != os.geteuid():
        return f"{name} belongs to another user"
    if found.st_mode & OTHERS_WRITE:
        return f"others can write to {name}"
    return None


def _others_write(found: os.stat_result) -> bool:
    """Whether others can write to a folder; a user's own group has no others in it."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and found.st_gid not in (0, os.getegid())
