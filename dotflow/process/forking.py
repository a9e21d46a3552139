"""What has to begin anew in a forked child: locks that were held, threads that are not there."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from dotflow.process import late

if TYPE_CHECKING:
    from dotflow.process.late import Renewable

_known: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_in_child(one: Renewable) -> None:
    """Have `one.renew()` called in every forked child, as long as it is there.

    What most children never use is for `dotflow.process.late.renew_when_used`.
    """
    _known.add(one)


def forget_imports_of_others() -> None:
    """Have this process, a forked child, import anew what another thread was about to import.

    That thread is not here, but the lock of the module is: whoever needs the module would wait for
    ever. Where Python keeps these locks is its own affair: if they are not found nothing is done.
    """
    locks: dict[str, Any] = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    for name, reference in list(locks.items()):
        owner = getattr(reference(), "owner", None)
        if owner is None or owner == threading.get_ident():
            continue
        del locks[name]
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):  # half of it is there
            del sys.modules[name]


def _renew_all() -> None:
    forget_imports_of_others()
    late.mark()
    for one in list(_known):
        one.renew()


# Once for all: what is registered here can never be taken back.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
