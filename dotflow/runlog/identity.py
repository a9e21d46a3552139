"""Under which id a process writes its log, and that it is seen to live."""

from __future__ import annotations

import contextlib
import os

from dotflow.runlog import files, life


class Identity:
    """The id of a log, with the sign of life of its process.

    Attributes:
        id: 32 hex digits, of 128 random bits.
        former: The ids under which it wrote before, and of which files are left.
        owed: Those of which its readers have not yet been told what goes on under the new one.
    """

    def __init__(self) -> None:
        self.id = os.urandom(16).hex()
        self.former: set[str] = set()
        self.owed: list[str] = []
        self._sign: files.LifeSign | None = None

    @property
    def is_shown(self) -> bool:
        """Whether others were shown that this process lives."""
        return self._sign is not None

    def show(self) -> bool:
        """Show others that this process lives; whether it has to be known by another id now.

        That is so where somebody else has the lock: who cannot see the process takes it for dead.

        Raises:
            OSError: It cannot be shown.
        """
        made = files.make_folder()
        if self._sign is None:
            with contextlib.suppress(FileExistsError):  # a handler has interrupted this
                self._sign = files.LifeSign(made / f"{self.id}{files.LOCK}")
            return False
        if self._sign.beat() or self._sign.renew():
            return False
        before, after = self.id, os.urandom(16).hex()
        self._sign = files.LifeSign(made / f"{after}{files.LOCK}")
        self.former.add(before)
        self.owed.append(before)
        self.id = after
        return True

    def is_seen(self) -> bool:
        """Give a sign of life; False where it may not be seen any more."""
        return self._sign is None or self._sign.beat()

    def let_go(self, log: str) -> None:
        """Delete what is left of a former log: nothing of it is needed."""
        if log in self.former:
            self.former.discard(log)
            files.delete_log(log)

    def end(self, is_done: bool) -> None:
        """Leave what is left to the next process; delete it where nothing of it is needed."""
        if self._sign is not None:
            for log in {self.id, *self.former} if is_done else ():
                files.delete_log(log)
            self._sign.close()
        for log in () if is_done else self.former:
            life.let_go(log)
