"""Where StorageFile is told to keep its files: a folder, or the address of a bucket."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dotflow.settings import Settings
from dotflow.utils.masking import MASK

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "DOTFLOW_STORAGE_PATH"

PROTOCOLS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "memory": "memory"}
"""What an address may begin with, and by what name fsspec knows it."""

ALLOWED = "a folder, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or memory://FOLDER"

_SCHEME = re.compile(r"([^/\\]+)://")
_OF_PATHLIB = re.compile(rf"(?:{'|'.join(PROTOCOLS)}):/(?!/)", re.IGNORECASE)
# fsspec takes `*?[` for a pattern; `#` and `?` begin what is no part of a path.
_NOT_IN_A_PATH = re.compile(r"[*?\[\]#]|::")


def wherever() -> str | Path:
    """The folder or address for whoever names none."""
    return os.environ.get(VARIABLE, "").strip() or Settings.START_PATH


def is_address(path: str | Path) -> bool:
    """Whether this is the address of a bucket.

    Raises:
        ValueError: It is the address of something else, or what pathlib has made of one.
    """
    text = str(path)
    if _OF_PATHLIB.match(text):
        raise ValueError(
            "StorageFile takes an address as a text, for pathlib leaves out a slash of it: write "
            "path='s3://BUCKET/FOLDER'."
        )
    found = _SCHEME.match(text)
    if found is None:
        return False
    if found[1].lower() not in PROTOCOLS:
        raise ValueError(f"StorageFile knows no address that begins with {found[0]}: {ALLOWED}.")
    return True


def parted(address: str) -> tuple[str, str]:
    """The protocol of an address, as fsspec names it, and the path of bucket and folder.

    Raises:
        ValueError: There is more in it, as a password, or less.
    """
    scheme, _, rest = address.partition("://")
    path = rest.strip("/")
    bucket = path.partition("/")[0]
    if "@" in bucket:
        raise ValueError(
            f"The address {scheme}://{MASK}@... has credentials in it: take them out, and set them "
            "as for other programs of that service (docs/guides/storage.md)."
        )
    if _NOT_IN_A_PATH.search(path) or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(
            f"StorageFile cannot use an address of {scheme}:// with '?', '#', '*', '[', ']', '::', "
            f"or an empty, '.' or '..' part in its path: {ALLOWED}."
        )
    return PROTOCOLS[scheme.lower()], path
