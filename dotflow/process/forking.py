"""What has to begin anew in a forked child: locks that were held, threads that are not there."""

from __future__ import annotations

# requests imports it at its first call, in a thread of ours or of an exporter. A child that was
# forked meanwhile would wait for the end of that import for ever.
import netrc  # noqa: F401
import os
import weakref
from typing import Any, Protocol


class Renewable(Protocol):
    """Something with threads, locks or sockets."""

    def renew(self) -> Any:
        """Begin anew; called in the child, where only the forking thread is left."""


_known: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_in_child(one: Renewable) -> None:
    """Have `one.renew()` called in every forked child, as long as it is there."""
    _known.add(one)


def _renew_all() -> None:
    for one in list(_known):
        one.renew()


# Once for all: what is registered here can never be taken back.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
