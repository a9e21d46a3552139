"""Results in files, one a task, in a folder or in a bucket."""

from __future__ import annotations

import json
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotflow.abc.storage import Storage, is_key_of
from dotflow.core.context import Context
from dotflow.core.jsonable import is_exact
from dotflow.logging import logger
from dotflow.process.forking import renew_in_child
from dotflow.providers.storage_address import is_address, wherever
from dotflow.providers.storage_pickle import MAGIC, Unreadable, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dotflow.abc.task import TaskView
    from dotflow.providers.storage_place import Kept, Place


class StorageFile(Storage):
    """Keeps each result in a file, in a folder or a bucket, so that a later process can resume.

    Values that JSON can say exactly are kept as JSON. All other values (a DataFrame, a set, a
    dataclass) are pickled, so that they come back as they were. A new value replaces the old one as
    a whole, so a crash leaves the old value.

    In a folder, StorageFile writes and reads pickles only if nobody else can write to the folder; a
    folder that StorageFile makes is private. In a bucket (`s3://`, `gs://`) it signs a pickle with
    `DOTFLOW_STORAGE_KEY` and reads it only if the signature is right. `memory://` is for tests, and
    lasts as long as the process. A file `<key>.meta` beside a result has the expiry, the
    fingerprint, and the shape of a list.

    Args:
        path: A folder, or the address of a bucket and a folder in it; the results are in its
            `tasks`. The folder is made if it is missing. A relative folder stays the same if the
            program changes its current folder. By default `DOTFLOW_STORAGE_PATH`, else
            `DOTFLOW_OUTPUT_PATH`.
        options: Further arguments for fsspec's file system, as `{"endpoint_url": ...}`.

    Attributes:
        path: The folder of the files, or its address.

    Raises:
        ValueError: The kind of the address is unknown.
        ModuleNotFound: The library for this kind of bucket is not installed.
        OSError: A folder or a file cannot be written, or the bucket cannot be reached.
    """

    def __init__(
        self,
        *_args: Any,
        path: str | Path | None = None,
        options: Mapping[str, Any] | None = None,
        **_kwargs: Any,
    ) -> None:
        self._place = _place(wherever() if path is None else path, options or {})
        self.path = self._place.path
        self.lasts = self._place.lasts
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, and no connections, in a forked child."""
        self._lock = threading.RLock()
        self._place.renew()

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
        parts, meta = self._parts(key, context, ttl, fingerprint)
        with self._lock:
            self._place.write(key, parts, meta)

    def get(self, key: str) -> Context:
        """The context kept under a key; an empty one where there is none, or none readable."""
        with self._lock:
            kept = self._place.read(key)
        return self._context(key, kept)

    def key(self, task: TaskView) -> str:
        """`{workflow_id}-{task_id}.json`, which is the name of the file too."""
        return f"{task.workflow_id}-{task.task_id}.json"

    def delete(self, key: str) -> bool:
        """Forget a key; return whether it was there."""
        with self._lock:
            meta = self._place.about(key)
            self._place.remove([key])
        return meta is not None and not _expired(meta)

    def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with `prefix`; return how many there were."""
        with self._lock:
            found = list(self._place.found(prefix))
            self._place.remove([key for key, _ in found])
        return sum(not _expired(meta) for _, meta in found)

    def list_keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`, without expired ones."""
        with self._lock:
            return sorted(key for key, meta in self._place.found(prefix) if not _expired(meta))

    def clear(self, workflow_id: str) -> None:
        """Forget everything of one workflow, and nothing of one whose id begins the same."""
        with self._lock:
            keys = self._place.keys(f"{workflow_id}-")
            self._place.remove([key for key in keys if is_key_of(workflow_id, key)])

    def atomic_swap(
        self,
        key: str,
        expected: Any,
        new: Any,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> bool:
        """Replace the value of a key if it equals `expected`; return whether it did.

        Atomic among the threads that share this object; on S3 among all that use the bucket.
        """
        context = new if isinstance(new, Context) else Context(new)
        parts, meta = self._parts(key, context, ttl, fingerprint)
        with self._lock:
            while True:
                kept = self._place.read(key, marked=True)
                if self._context(key, kept).storage != expected:
                    return False
                if self._place.replace(kept, key, parts, meta):
                    return True

    def _parts(
        self, key: str, context: Context, ttl: float | None, fingerprint: str | None
    ) -> tuple[list[bytes | memoryview], dict[str, Any]]:
        """The bytes that keep a context, and what is kept beside them."""
        said = _as_json(context.storage)
        parts, shape = said or (self._place.pickled(key, context.storage), None)
        meta: dict[str, Any] = {}
        if ttl is not None or fingerprint is not None:
            meta = {
                "fingerprint": fingerprint,
                "expires_at": None if ttl is None else time.time() + ttl,
            }
        if shape is not None:
            # Bound to the text: a crash between two files must not give one the other's shape.
            meta |= {"shape": shape, "of": zlib.crc32(parts[0])}
        return parts, meta

    def _context(self, key: str, kept: Kept | None) -> Context:
        if kept is None or _expired(kept.meta):
            return Context()
        try:
            if kept.body.startswith(MAGIC):
                self._place.check(key, kept)
                return Context(unpacked(kept.body))
            entries = _entries_of(kept.body)
        except Unreadable as error:
            logger.warning(
                "The result kept as %r in %s cannot be restored, so its step runs again: %s.",
                key, self.path, error,
            )  # fmt: skip
            return Context()
        meta = kept.meta
        shape = meta.get("shape") if meta.get("of") == zlib.crc32(kept.body) else None
        return Context(_value(entries, shape))


def _place(path: str | Path, options: Mapping[str, Any]) -> Place:
    if is_address(path):
        from dotflow.providers.storage_bucket import Bucket  # here, for few have one

        return Bucket(str(path), options)
    from dotflow.providers.storage_folder import Folder

    return Folder(Path(path).absolute() / "tasks")


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


def _expired(meta: Mapping[str, Any]) -> bool:
    expires_at = meta.get("expires_at")
    return isinstance(expires_at, (int, float)) and expires_at <= time.time()
