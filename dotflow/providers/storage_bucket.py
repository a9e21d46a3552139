"""A bucket of objects, one a task, reached by fsspec. One request keeps a value, so it is whole."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from os.path import commonpath
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ModuleNotFound, ValueNotKept
from dotflow.core.jsonable import type_name
from dotflow.providers import storage_signature as signing
from dotflow.providers.storage_address import parted
from dotflow.providers.storage_pickle import Unreadable, opened, packed
from dotflow.providers.storage_place import CUT_NAME, WHOLE, Kept, Place, key_of, name_of
from dotflow.utils.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BESIDE = b"dotflow meta "
"""With this, and JSON to the end of the line, begins an object that keeps more than its value."""

HEAD = 4096
"""Bytes of an object in which that line ends, but for the longest keys."""

NAME_SAFE = " !$&'()+,-.;=@^_`{}~"
"""As in a folder, without what fsspec takes for a pattern or a chain of addresses."""

PATIENCE = 60.0
"""Seconds that one request may take with all that is tried again,"""

SLOWEST = 2**18
"""and one more for each so many bytes (256 KB)."""

LONGEST_READ = 900.0
"""Seconds that a value may take to arrive."""

LARGEST_PIECE = 5 * 2**30
"""Bytes that S3 takes in one request."""

OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 20,
            "retries": {"mode": "standard", "total_max_attempts": 4},
        }
    },
    "gs": {"requests_timeout": 30},
    "memory": {},
}
"""What a file system is made with, unless the user says otherwise. Listings are never cached."""

EXTRAS = {"s3": "dotflow[remote]", "gs": "dotflow[gcs]", "memory": "dotflow[remote]"}
NEEDED = {"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"}

NO_BUCKET = "NoSuchBucket"

LOST_A_RACE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})
"""What S3 answers if another writer, or one who deletes, was faster."""

_of_parents: list[Any] = []
"""File systems that a forked child has of its parent: to let go of one would wait for threads."""


class Bucket(Place):
    """Objects under an address.

    Args:
        address: Of the bucket, and a folder in it.
        options: What the file system takes beside.

    Raises:
        ValueError: It is no such address.
        ModuleNotFound: What reaches it is not installed.
    """

    path: str

    def __init__(self, address: str, options: Mapping[str, Any]) -> None:
        self._protocol, self._root = parted(address)
        self._root += "/tasks"
        self.path = f"{address.partition('://')[0]}://{self._root}"
        self.lasts = self._protocol != "memory"
        self._options = _merged(OPTIONS[self._protocol], options)
        self._made: Any = None
        self._made_by = 0
        self._files  # noqa: B018 - whoever lacks a package is told now

    @property
    def _files(self) -> Any:
        """The file system; another one in a forked child, which has none of its threads."""
        if self._made_by != os.getpid():
            _of_parents.append(self._made)
            self._made, self._made_by = _file_system(self._protocol, self._options), os.getpid()
        return self._made

    def read(self, key: str, marked: bool = False) -> Kept | None:
        """What is kept under a key; None where there is nothing."""
        path, mark = self._path(key), None
        limits = {"timeout": LONGEST_READ} | ({"max_concurrency": 1} if self._is_s3 else {})
        try:
            with self._asking(f"read {key!r} in"):
                if marked and self._is_s3:
                    # First: if it is another one by the time it is read, the mark is too old.
                    mark = self._files.info(path, timeout=PATIENCE)["ETag"]
                data = self._files.cat_file(path, **limits)
        except FileNotFoundError:
            return None
        meta, body = _parted(data)
        return Kept(body, meta, mark)

    def about(self, key: str) -> Mapping[str, Any] | None:
        """What is kept beside the value of a key; None where there is no value."""
        return next((meta for _, meta in self._heads([self._path(key)])), None)

    def write(self, key: str, parts: Iterable[bytes | memoryview], meta: Mapping[str, Any]) -> None:
        """Keep a value whole, in place of what was there."""
        with self._asking(f"keep {key!r} in", is_write=True):
            self._put(key, parts, meta)

    def replace(
        self,
        before: Kept | None,
        key: str,
        parts: Iterable[bytes | memoryview],
        meta: Mapping[str, Any],
    ) -> bool:
        """Keep a value if what is there is still what was read before; return whether it was.

        Google's takes that condition only of a key that is not there yet.
        """
        # In one piece: of a value in parts s3fs leaves the condition out.
        beside: dict[str, Any] = {"chunksize": LARGEST_PIECE} if self._is_s3 else {}
        if before is None:
            beside["mode"] = "create"
        elif self._is_s3:
            beside["IfMatch"] = before.mark
        try:
            with self._asking(f"keep {key!r} in", is_write=True):
                self._put(key, parts, meta, **beside)
        except FileExistsError:
            return False
        return True

    def pickled(self, key: str, value: Any) -> list[bytes | memoryview]:
        """The bytes of a value that JSON does not say, signed."""
        fault = signing.fault_of_keys()
        if fault is not None:
            why = f"is no JSON, and a pickle in a bucket has to be signed: {fault}"
            raise ValueNotKept(type_name(value), why, signing.REMEDY)
        return packed(value, lambda kind, payload: signing.signature(key, kind, payload))

    def check(self, key: str, kept: Kept) -> None:
        """Raise Unreadable if a pickle is not signed by one of our keys, for this key."""
        fault = signing.fault_of_keys()
        if fault is not None:
            raise Unreadable(f"it is a pickle, and {fault}: {signing.REMEDY}")
        about, payload = opened(kept.body)
        if not signing.is_ours(about.get("hmac"), key, about["type"], payload):
            raise Unreadable(
                "it is a pickle that may be somebody else's: no key in "
                f"{signing.VARIABLE} has signed it under this name"
            )

    def remove(self, keys: list[str]) -> None:
        """Forget keys, whether they are there or not."""
        paths = [self._path(key) for key in keys]
        with self._asking("delete what is in"):
            if len(paths) > 1:
                with suppress(FileNotFoundError):
                    self._files.rm(paths)
                # s3fs is silent on those that it was not allowed to delete.
                left = set(self._listed(commonpath([name_of(key, NAME_SAFE) for key in keys])))
                paths = [path for path in paths if path in left]
            for path in paths:
                with suppress(FileNotFoundError):
                    self._files.rm_file(path)

    def found(self, prefix: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The keys that begin with `prefix`, and what is kept beside the value of each."""
        for path, meta in self._heads(self._paths(prefix)):
            key = meta.get("key") or key_of(_name(path))
            if key.startswith(prefix):
                yield key, meta

    def keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`; only those that a name does not say are read."""
        paths = self._paths(prefix)
        told = {path: key_of(_name(path)) for path in paths}
        cut = [path for path in paths if len(_name(path)) == CUT_NAME]
        told |= {path: meta.get("key") or told[path] for path, meta in self._heads(cut)}
        return [key for key in told.values() if key.startswith(prefix)]

    def _paths(self, prefix: str) -> list[str]:
        """The paths of the keys that begin with `prefix`, and perhaps of others."""
        with self._asking("list what is in"):
            return self._listed(name_of(prefix, NAME_SAFE)[:WHOLE])

    @property
    def _is_s3(self) -> bool:
        return self._protocol == "s3"

    def _path(self, key: str) -> str:
        return f"{self._root}/{name_of(key, NAME_SAFE)}"

    def _put(
        self, key: str, parts: Iterable[bytes | memoryview], meta: Mapping[str, Any], **beside: Any
    ) -> None:
        if name_of(key, NAME_SAFE) != key:
            meta = {**meta, "key": key}
        head = [BESIDE + json.dumps(meta).encode() + b"\n"] if meta else []
        data = b"".join([*head, *parts])
        seconds = PATIENCE + len(data) / SLOWEST
        self._files.pipe_file(self._path(key), data, timeout=seconds, **beside)

    def _listed(self, prefix: str) -> list[str]:
        """The paths of the objects whose names begin with a text."""
        try:
            found = self._files.find(self._root, prefix=prefix)
        except FileNotFoundError as error:
            if _code(error) == NO_BUCKET:
                raise
            return []
        within = f"{self._root}/"
        paths = (path.lstrip("/") for path in found)
        named = (path for path in paths if path.startswith(within + prefix) and path != within)
        return [path for path in named if "/" not in path[len(within) :]]

    def _heads(self, paths: list[str]) -> Iterable[tuple[str, dict[str, Any]]]:
        """Those of the objects that are there, each with what is kept beside its value."""
        with self._asking("read what is in"):
            heads = self._files.cat_ranges(paths, 0, HEAD, on_error="return") if paths else []
            for path, head in zip(paths, heads, strict=True):
                if isinstance(head, FileNotFoundError) and _code(head) != NO_BUCKET:
                    continue
                if isinstance(head, BaseException):
                    raise head
                is_cut = head.startswith(BESIDE) and b"\n" not in head
                yield path, _parted(self._files.cat_file(path) if is_cut else head)[0]

    @contextmanager
    def _asking(self, what: str, is_write: bool = False) -> Iterator[None]:
        """Say in our words what goes wrong, with its remedy; an absent object says so itself."""
        try:
            yield
        except Exception as error:
            if _code(error) in LOST_A_RACE and is_write:
                raise FileExistsError from error
            is_absent = isinstance(error, FileNotFoundError) and not is_write
            if isinstance(error, FileExistsError) or (is_absent and _code(error) != NO_BUCKET):
                raise
            problem = f"Could not {what} {self.path}: {said(error)}"
            raise OSError(f"{problem}. {remedy(error)}.") from error


def said(error: Exception) -> str:
    """What went wrong, without any secret."""
    return masked(f"{type(error).__name__}: {error}".removesuffix(": ")).rstrip(".!")


def remedy(error: Exception) -> str:
    """What mends it."""
    words = f"{type(error).__name__} {error}".lower()
    if isinstance(error, FileNotFoundError) or _code(error) == NO_BUCKET:
        return "Make the bucket, or mend its name"
    if "credential" in words or "token" in words:
        return (
            "Give credentials as other programs of that service have them (docs/guides/storage.md)"
        )
    if isinstance(error, PermissionError) or "forbidden" in words:
        return "Let these credentials read, write, list and delete there"
    return "See whether the service runs and can be reached from here, and try again"


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _code(error: BaseException) -> str:
    """What S3 calls an error; empty where it says nothing."""
    answer = getattr(error.__cause__, "response", None)
    found = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return str(found or "")


def _parted(data: bytes) -> tuple[dict[str, Any], bytes]:
    """What an object keeps beside its value, and the value."""
    if not data.startswith(BESIDE):
        return {}, data
    end = data.find(b"\n") + 1
    try:
        meta = json.loads(data[len(BESIDE) : end])
    except ValueError:
        meta = None
    return meta if isinstance(meta, dict) else {}, data[end:]


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Options, in which a user who says one thing of several leaves the others as they are."""
    both = {name: {**ours[name], **theirs[name]} for name in theirs if type(ours.get(name)) is dict}
    return {**ours, **theirs, **both}


def _file_system(protocol: str, options: Mapping[str, Any]) -> Any:
    """A file system of one's own.

    Raises:
        ModuleNotFound: What it needs is not installed.
    """
    extra = EXTRAS[protocol]
    try:
        import fsspec  # type: ignore[import-untyped]  # here, for it takes its time

        made = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise ModuleNotFound(NEEDED[protocol], extra) from error
    files = made(skip_instance_cache=True, use_listings_cache=False, **options)
    if protocol == "s3":
        files.retries = 2  # botocore tries again already
    return files
