"""Whether a socket is still ours.

A step may close all descriptors, and open a file of its own under the number of a socket of ours.
So before a socket is used or closed its device and inode are looked at, and one that is not ours
any more is forgotten. Another thread may still come between the look and the use: that makes such
a mistake improbable, not impossible.
"""

from __future__ import annotations

import os
import socket
from typing import Any

Identity = tuple[int, int]
"""The device and the inode of a socket."""


def identity_of(sock: Any) -> Identity | None:
    """The device and the inode of a socket; None if it has none, as on Windows."""
    try:
        found = os.fstat(sock.fileno())
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def is_ours(sock: Any, identity: Identity | None) -> bool:
    """Whether the descriptor of a socket still leads to what was opened under it."""
    return identity is None or identity_of(sock) == identity


def guard(sock: Any, identity: Identity | None) -> None:
    """See that a socket is ours before it is used.

    Raises:
        OSError: Its descriptor leads to something else: the socket is forgotten.
    """
    if not is_ours(sock, identity):
        forget(sock)
        raise OSError("the connection was closed by another part of the program")


def forget(sock: Any) -> int:
    """Part a socket from its descriptor, which stays open; return the descriptor."""
    descriptor: int = getattr(sock, "socket", sock).detach()  # within TLS in TLS it has another
    return descriptor


def close_ours(sock: Any, identity: Identity | None) -> None:
    """Close a socket; one whose descriptor leads to something else is only forgotten."""
    may_close = is_ours(sock, identity)
    descriptor = forget(sock)
    if may_close and descriptor >= 0:
        socket.close(descriptor)
