"""Files and the host's name."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


def write_file(
    path: str | Path, content: Any, mode: str = "w", encoding: str | None = "utf-8"
) -> None:
    """Write a value as JSON text, or as its `str` where JSON cannot express it."""
    try:
        text = json.dumps(content)
    except (TypeError, ValueError, RecursionError):
        text = str(content)
    with Path(path).open(mode=mode, encoding=encoding) as file:
        file.write(text)


def read_file(path: Path, encoding: str = "utf-8") -> Any:
    """The parsed JSON of a file, its raw text if it is no JSON, None if there is no file."""
    path = Path(path)
    if not path.exists():
        return None
    text = path.read_text(encoding=encoding)
    try:
        return json.loads(text)
    except ValueError:
        return text


def hostname() -> str:
    """The name of this host, or "local" where it has none."""
    try:
        return socket.gethostname() or "local"
    except OSError:
        return "local"
