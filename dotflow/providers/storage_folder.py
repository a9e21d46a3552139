"""A folder of files, one a task, and beside it `<key>.meta` where there is more to keep."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dotflow.core.exception import ValueNotKept
from dotflow.core.jsonable import type_name
from dotflow.providers.storage_pickle import (
    OTHERS_WRITE,
    Unreadable,
    fault_of,
    fault_of_folder,
    packed,
)
from dotflow.providers.storage_place import Kept, Place, key_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

META = ".meta"
ASIDE = ".aside"
PRIVATE = 0o700
NOT_FOR_OTHERS = 0o755
"""Of a folder above that is not there yet: nobody else writes to it, whatever the umask is."""
PRIVATE_FOLDER = "give StorageFile a folder that nobody else can write to (chmod go-w)"
NAME_SAFE = " !$&'()+,-.:;=@[]^_`{}~"


class Folder(Place):
    """Files in a folder of this machine; it is made, private to the user.

    Args:
        path: The folder.

    Raises:
        OSError: It cannot be made.
    """

    path: Path

    def __init__(self, path: Path) -> None:
        self.path = path
        for above in reversed(path.parents):
            if not above.is_dir():
                above.mkdir(NOT_FOR_OTHERS, exist_ok=True)
        path.mkdir(PRIVATE, exist_ok=True)

    def read(self, key: str, marked: bool = False) -> Kept | None:
        """What is kept under a key; None where there is nothing."""
        del marked
        file = self._file(key)
        meta = _meta(file)
        try:
            with file.open("rb") as stream:
                return Kept(stream.read(), meta, os.fstat(stream.fileno()))
        except FileNotFoundError:
            return None

    def about(self, key: str) -> Mapping[str, Any] | None:
        """What is kept beside the value of a key; None where there is no value."""
        file = self._file(key)
        return _meta(file) if file.exists() else None

    def write(self, key: str, parts: Iterable[bytes | memoryview], meta: Mapping[str, Any]) -> None:
        """Keep a value whole: it is written aside, and renamed."""
        file = self._file(key)
        if file.name != key:
            meta = {**meta, "key": key}
        if meta:
            self._write(_meta_of(file), [json.dumps(meta).encode()])
        self._write(file, parts)
        if not meta:
            _meta_of(file).unlink(missing_ok=True)

    def pickled(self, key: str, value: Any) -> list[bytes | memoryview]:
        """The bytes of a value that JSON does not say."""
        del key
        fault = fault_of_folder(self.path)
        if fault is not None:
            why = f"is no JSON, and a pickle is not safe in this folder: {fault}"
            raise ValueNotKept(type_name(value), why, PRIVATE_FOLDER)
        return packed(value)

    def check(self, key: str, kept: Kept) -> None:
        """Raise Unreadable if others can have written a pickle."""
        file = self._file(key)
        fault = fault_of_folder(self.path) or fault_of(kept.mark, str(file))
        if fault is None and not os.path.samestat(file.lstat(), kept.mark):
            fault = f"{file} is a link"
        if fault is not None:
            raise Unreadable(f"it is a pickle that may be somebody else's: {fault}")

    def remove(self, keys: list[str]) -> None:
        """Forget keys, whether they are there or not."""
        for key in keys:
            file = self._file(key)
            file.unlink(missing_ok=True)
            _meta_of(file).unlink(missing_ok=True)

    def found(self, prefix: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The keys that begin with `prefix`, and what is kept beside the value of each."""
        for file in self.path.iterdir():
            if file.suffix not in (META, ASIDE):
                meta = _meta(file)
                key = meta.get("key") or key_of(file.name)
                if key.startswith(prefix):
                    yield key, meta

    def _file(self, key: str) -> Path:
        return self.path / name_of(key, NAME_SAFE)

    def _write(self, file: Path, parts: Iterable[bytes | memoryview]) -> None:
        aside = self.path / f"{uuid4().hex}{ASIDE}"
        try:
            with open(aside, "xb", opener=self._open) as stream:
                stream.writelines(parts)
            aside.replace(file)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def _open(self, name: str, flags: int) -> int:
        """Open a file: private to the user, unless the folder was made for others to write to."""
        is_shared = self.path.stat().st_mode & OTHERS_WRITE
        return os.open(name, flags, 0o666 if is_shared else 0o600)


def _meta_of(file: Path) -> Path:
    return file.with_name(file.name + META)


def _meta(file: Path) -> dict[str, Any]:
    try:
        meta = json.loads(_meta_of(file).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}
