"""Files and the host's name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_file(
    path: str | Path, content: Any, mode: str = "w", encoding: str | None = "utf-8"
) -> None:
    """Write a value to a file as JSON, or as its `str` if JSON cannot express it."""
    # Here, as `socket` below, for not every program needs them.
    import json
    from pathlib import Path

    try:
        text = json.dumps(content)
    except (TypeError, ValueError, RecursionError):
        text = str(content)
    with Path(path).open(mode=mode, encoding=encoding) as file:
        file.write(text)


def read_file(path: Path, encoding: str = "utf-8") -> Any:
    """Read a file: its parsed JSON, its text if it is not JSON, or None if there is no file."""
    import json
    from pathlib import Path

    path = Path(path)
    if not path.exists():
        return None
    text = path.read_text(encoding=encoding)
    try:
        return json.loads(text)
    except ValueError:
        return text


def hostname() -> str:
    """The name of this host, or "local" if it has no name."""
    import socket

    try:
        return socket.gethostname() or "local"
    except OSError:
        return "local"


def unused_task_id() -> int:
    """A number that no earlier task can have: the microseconds since the epoch.

    A run would have to add a million tasks a second to reach the number of a later one. It fits
    the integers of JSON's readers (2**53).
    """
    return time.time_ns() // 1000
