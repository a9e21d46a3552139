"""Results in files, one a task."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from uuid import uuid4

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.process.forking import renew_in_child
from dotflow.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.task import TaskView

META = ".meta"
ASIDE = ".aside"
LONGEST_NAME = 200  # bytes; file systems allow 255, and the name gets endings
NAME_SAFE = " !$&'()+,-.:;=@[]^_`{}~"


class StorageFile(Storage):
    """Keeps each result in a file under `path`/tasks, so that another process finds it.

    A file holds a JSON list of strings, each the JSON text of one value (its `str` where JSON
    cannot express it): one for a plain value, one for each Context of a list of Contexts. It is
    written aside and renamed: a crash leaves the old value whole. Beside it, where there is more
    to keep, `<key>.meta` has the expiry, the fingerprint, and the shape of the value where the
    strings alone do not show it.

    Args:
        path: The folder above; it is made.

    Attributes:
        path: The folder of the files.

    Raises:
        OSError: A folder or a file cannot be written.
    """

    def __init__(self, *_args: Any, path: str | Path = Settings.START_PATH, **_kwargs: Any) -> None:
        self.path = Path(path) / "tasks"
        self.path.mkdir(parents=True, exist_ok=True)
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
        """Keep a context under a key, in place of what was there."""
        entries, shape = _entries(context.storage)
        text = json.dumps(entries)
        meta: dict[str, Any] = {}
        if ttl is not None or fingerprint is not None:
            meta = {
                "fingerprint": fingerprint,
                "expires_at": None if ttl is None else time.time() + ttl,
            }
        if shape is not None:
            # Bound to the text: a crash between the two files must not give one the other's shape.
            meta |= {"shape": shape, "of": zlib.crc32(text.encode())}
        file = self._file(key)
        if file.name != key:
            meta["key"] = key
        with self._lock:
            if meta:
                self._write(_meta_of(file), json.dumps(meta))
            self._write(file, text)
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
                text = file.read_text(encoding="utf-8")
                entries = json.loads(text)
            except (FileNotFoundError, ValueError):
                return Context()
        if not isinstance(entries, list) or not entries:
            return Context()
        shape = meta.get("shape") if meta.get("of") == zlib.crc32(text.encode()) else None
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

    def _write(self, file: Path, text: str) -> None:
        aside = self.path / f"{uuid4().hex}{ASIDE}"
        try:
            aside.write_text(text, encoding="utf-8")
            aside.replace(file)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def _entries(value: Any) -> tuple[list[str], list[bool] | None]:
    """The strings of a value, and which are Contexts' where the strings alone do not show it."""
    if not isinstance(value, (list, tuple)) or not any(isinstance(x, Context) for x in value):
        return [_text(value)], None
    contexts = [isinstance(item, Context) for item in value]
    entries = [_text(item.storage if isinstance(item, Context) else item) for item in value]
    return entries, None if len(value) > 1 and all(contexts) else contexts


def _value(entries: list[Any], shape: list[bool] | None) -> Any:
    values = [_parsed(entry) for entry in entries]
    if shape is None and len(values) == 1:
        return values[0]
    return [
        Context(value, task_id=number) if shape is None or shape[number] else value
        for number, value in enumerate(values)
    ]


def _text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)


def _parsed(entry: Any) -> Any:
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
