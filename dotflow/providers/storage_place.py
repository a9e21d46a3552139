"""What StorageFile asks of the place where its files are: a folder, or a bucket."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LONGEST_NAME = 200  # bytes; file systems allow 255, and the name gets endings
WHOLE = 100
"""Characters of a longer name that are kept; a digest stands for the rest."""
CUT_NAME = WHOLE + 65
"""Characters of such a name."""


class Kept(NamedTuple):
    """What is kept under a key.

    Attributes:
        body: The value, as JSON or as a pickle.
        meta: What is kept beside it: its expiry, its fingerprint, the shape of a list.
        mark: By what its place knows it again.
    """

    body: bytes
    meta: dict[str, Any]
    mark: Any


class Place(ABC):
    """Keeps bytes, and what is said of them, by key.

    Attributes:
        path: The folder, or the address, of the files.
        lasts: Whether what is kept is there for a later process.
    """

    path: Path | str
    lasts = True

    @abstractmethod
    def read(self, key: str, marked: bool = False) -> Kept | None:
        """What is kept under a key; None where there is nothing.

        Args:
            key: The key.
            marked: Whether it is to have what `replace` needs.
        """

    @abstractmethod
    def about(self, key: str) -> Mapping[str, Any] | None:
        """What is kept beside the value of a key; None where there is no value."""

    @abstractmethod
    def write(self, key: str, parts: Iterable[bytes | memoryview], meta: Mapping[str, Any]) -> None:
        """Keep a value whole, in place of what was there."""

    def replace(
        self,
        before: Kept | None,
        key: str,
        parts: Iterable[bytes | memoryview],
        meta: Mapping[str, Any],
    ) -> bool:
        """Keep a value if what is there is still what was read before; return whether it was.

        A place that cannot tell keeps it in any case.
        """
        del before
        self.write(key, parts, meta)
        return True

    @abstractmethod
    def pickled(self, key: str, value: Any) -> list[bytes | memoryview]:
        """The bytes of a value that JSON does not say.

        Raises:
            ValueNotKept: It cannot be pickled, or a pickle would not be safe here.
        """

    @abstractmethod
    def check(self, key: str, kept: Kept) -> None:
        """Raise Unreadable if a pickle may be somebody else's."""

    @abstractmethod
    def remove(self, keys: list[str]) -> None:
        """Forget keys, whether they are there or not."""

    @abstractmethod
    def found(self, prefix: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The keys that begin with `prefix`, and what is kept beside the value of each."""

    def keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`."""
        return [key for key, _ in self.found(prefix)]

    def renew(self) -> None:
        """Begin anew in a forked child. Does nothing by default."""


def name_of(key: str, safe: str) -> str:
    """The name of a key's file: the key, unless that is no name for a file.

    Args:
        key: Any text.
        safe: The characters, beside letters, digits and `_.-~`, that a name may have.
    """
    name = quote(key, safe=safe, errors="surrogatepass")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > LONGEST_NAME:
        name = f"{name[:WHOLE]}-{hashlib.sha256(name.encode()).hexdigest()}"
    return name


def key_of(name: str) -> str:
    """The key that a name stands for, unless it is too long for that; of other hands, the name."""
    try:
        return unquote(name, errors="surrogatepass")
    except UnicodeDecodeError:
        return name
