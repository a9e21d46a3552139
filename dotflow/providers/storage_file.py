"""Results in files, one a task."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from uuid import uuid4

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import ValueNotKept
from dotflow.core.jsonable import is_exact, type_name
from dotflow.logging import logger
from dotflow.process.forking import renew_in_child
from dotflow.providers.storage_pickle import (
    MAGIC,
    OTHERS_WRITE,
    Unreadable,
    fault_of,
    fault_of_folder,
    packed,
    unpacked,
)
from dotflow.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.task import TaskView

META = ".meta"
ASIDE = ".aside"
LONGEST_NAME = 200  # bytes; file systems allow 255, and the name gets endings
PRIVATE = 0o700
NOT_FOR_OTHERS = 0o755
"""Of a folder above that is not there yet: nobody else writes to it, whatever the umask is."""
PRIVATE_FOLDER = "give StorageFile a folder that nobody else can write to (chmod go-w)"
NAME_SAFE = " !$&'()+,-.:;=@[]^_`{}~"


class StorageFile(Storage):
    """Keeps each result in a file under `path`/tasks, so that another process finds it.

    What JSON says exactly is a JSON list of strings, each the JSON text of one value: one for a
    plain value, one for each Context of a list of Contexts. Everything else (a DataFrame, a set, a
    dataclass) is pickled, so that it comes back as it was. A pickle is only written to, and read
    from, a folder that nobody else can write to; StorageFile makes one that is private to the user.
    A file is written aside and renamed: a crash leaves the old value whole. Beside it, where there
    is more to keep, `<key>.meta` has the expiry, the fingerprint, and the shape of a list.

    Args:
        path: The folder above; it is made. A relative one is that of now, wherever a step goes.

    Attributes:
        path: The folder of the files.

    Raises:
        OSError: A folder or a file cannot be written.
    """

    def __init__(self, *_args: Any, path: str | Path = Settings.START_PATH, **_kwargs: Any) -> None:
        self.path = Path(path).absolute() / "tasks"
        for above in reversed(self.path.parents):
            if not above.is_dir():
                above.mkdir(NOT_FOR_OTHERS, exist_ok=True)
        self.path.mkdir(PRIVATE, exist_ok=True)
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.RLock()

    def post(
        self,
        key: str,
        context: Context,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """Keep a context under a key, in place of what was there.

        Raises:
            ValueNotKept: JSON cannot say the value, nor can it be pickled here.
            OSError: The file cannot be written.
        """
        said = _as_json(context.storage)
        parts, shape = said or (self._pickled(context.storage), None)
        meta: dict[str, Any] = {}
        if ttl is not None or fingerprint is not None:
            meta = {
                "fingerprint": fingerprint,
                "expires_at": None if ttl is None else time.time() + ttl,
            }
        if shape is not None:
            # Bound to the text: a crash between the two files must not give one the other's shape.
            meta |= {"shape": shape, "of": zlib.crc32(parts[0])}
        file = self._file(key)
        if file.name != key:
            meta["key"] = key
        with self._lock:
            if meta:
                self._write(_meta_of(file), [json.dumps(meta).encode()])
            self._write(file, parts)
            if not meta:
                _meta_of(file).unlink(missing_ok=True)

    def get(self, key: str) -> Context:
        """The context kept under a key; an empty one where there is none, or none readable."""
        file = self._file(key)
        with self._lock:
            meta = _meta(file)
            if _expired(meta):
                return Context()
            try:
                with file.open("rb") as stream:
                    data, found = stream.read(), os.fstat(stream.fileno())
            except FileNotFoundError:
                return Context()
        try:
            if data.startswith(MAGIC):
                self._check_is_ours(file, found)
                return Context(unpacked(data))
            entries = _entries_of(data)
        except Unreadable as error:
            logger.warning(
                "What is kept as %r in %s is not restored, and its step runs again: %s.",
                key, self.path, error,
            )  # fmt: skip
            return Context()
        shape = meta.get("shape") if meta.get("of") == zlib.crc32(data) else None
        return Context(_value(entries, shape))

    def key(self, task: TaskView) -> str:
        """`{workflow_id}-{task_id}.json`, which is the name of the file too."""
        return f"{task.workflow_id}-{task.task_id}.json"

    def delete(self, key: str) -> bool:
        """Forget a key; return whether it was there."""
        file = self._file(key)
        with self._lock:
            found = file.exists() and not _expired(_meta(file))
            file.unlink(missing_ok=True)
            _meta_of(file).unlink(missing_ok=True)
        return found

    def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with `prefix`; return how many there were."""
        with self._lock:
            return sum(self.delete(key) for key, _ in list(self._files()) if key.startswith(prefix))

    def list_keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`, without expired ones."""
        with self._lock:
            return sorted(
                key
                for key, file in self._files()
                if key.startswith(prefix) and not _expired(_meta(file))
            )

    def atomic_swap(
        self,
        key: str,
        expected: Any,
        new: Any,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> bool:
        """Replace the value of a key if it equals `expected`; return whether it did.

        Atomic among the threads that share this object.
        """
        with self._lock:
            if self.get(key).storage != expected:
                return False
            self.post(key, new if isinstance(new, Context) else Context(new), ttl, fingerprint)
            return True

    def _file(self, key: str) -> Path:
        """The file of a key: of its name, unless that is no name for a file."""
        name = quote(key, safe=NAME_SAFE, errors="surrogatepass")
        if name.startswith("."):
            name = "%2E" + name[1:]
        if len(name) > LONGEST_NAME:
            name = f"{name[:100]}-{hashlib.sha256(name.encode()).hexdigest()}"
        return self.path / name

    def _files(self) -> Iterable[tuple[str, Path]]:
        for file in self.path.iterdir():
            if file.suffix not in (META, ASIDE):
                yield _meta(file).get("key") or unquote(file.name, errors="surrogatepass"), file

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

    def _pickled(self, value: Any) -> list[bytes | memoryview]:
        fault = fault_of_folder(self.path)
        if fault is not None:
            why = f"is no JSON, and a pickle is not safe in this folder: {fault}"
            raise ValueNotKept(type_name(value), why, PRIVATE_FOLDER)
        return packed(value)

    def _check_is_ours(self, file: Path, found: os.stat_result) -> None:
        """Raise Unreadable if others can have written a pickle."""
        fault = fault_of_folder(self.path) or fault_of(found, str(file))
        if fault is None and not os.path.samestat(file.lstat(), found):
            fault = f"{file} is a link"
        if fault is not None:
            raise Unreadable(f"it is a pickle that may be somebody else's: {fault}")


def _as_json(value: Any) -> tuple[list[bytes | memoryview], list[bool] | None] | None:
    """The bytes of a value as JSON, and the shape of a list of Contexts where they do not show it.

    None if JSON does not say it exactly.
    """
    is_list = type(value) is list and any(type(item) is Context for item in value)
    items = value if is_list else [value]
    contexts = [type(item) is Context for item in items]
    if any(item.task_id != number for number, item in enumerate(items) if contexts[number]):
        return None
    plain = [item.storage if type(item) is Context else item for item in items]
    if not is_exact(plain):
        return None
    try:
        text = json.dumps([json.dumps(item) for item in plain])
    except (ValueError, RecursionError):  # an int with more digits than Python makes a text of
        return None
    is_plain = not is_list or (len(items) > 1 and all(contexts))
    return [text.encode()], None if is_plain else contexts


def _entries_of(data: bytes) -> list[Any]:
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the file is no JSON") from error
    if not isinstance(entries, list) or not entries:
        raise Unreadable("the file is no list of values")
    return entries


def _value(entries: list[Any], shape: list[bool] | None) -> Any:
    values = [_parsed(entry) for entry in entries]
    if shape is None and len(values) == 1:
        return values[0]
    return [
        Context(value, task_id=number) if shape is None or shape[number] else value
        for number, value in enumerate(values)
    ]


def _parsed(entry: Any) -> Any:
    """The value of a string; of an earlier release's, which is perhaps no JSON, the string."""
    if not isinstance(entry, str):
        return entry
    try:
        return json.loads(entry)
    except (ValueError, RecursionError):
        return entry


def _meta_of(file: Path) -> Path:
    return file.with_name(file.name + META)


def _meta(file: Path) -> dict[str, Any]:
    try:
        meta = json.loads(_meta_of(file).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _expired(meta: dict[str, Any]) -> bool:
    expires_at = meta.get("expires_at")
    return isinstance(expires_at, (int, float)) and expires_at <= time.time()
