"""The result of a step on its way from its process to the parent, which may run code of its own.

It is pickled behind what the child says of the end, so that the parent knows of the end whatever
the result does: raise anything, or never end. That one is awaited while other lanes go on.
"""

from __future__ import annotations

import io
import pickle
import threading
import time
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from dotflow.core.children.wire import PATIENCE, Outcome, Said, pickling_failure
from dotflow.process.within import TookTooLongError

if TYPE_CHECKING:
    from dotflow.core.context import Context

BYTES_A_SECOND = 10_000_000
"""A long result has more time than PATIENCE."""

AT_ONCE = 0.05
"""Seconds that the parent waits for a result before it hears the other lanes."""

# What is made without code of anybody's: the values of everyday, in a Context.
_EVERYDAY = {
    "builtins": ("set", "frozenset", "bytearray", "complex", "range"),
    "collections": ("OrderedDict", "deque"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "dotflow.core.context": ("Context",),
    "uuid": ("UUID", "SafeUUID"),
}


class _ForeignError(Exception):
    """A value has a class that may run code of its own."""


class _EverydayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _EVERYDAY.get(module, ()):
            raise _ForeignError
        return super().find_class(module, name)


def with_result(said: Said, result: Context) -> memoryview:
    """What a child says of the end of a step, and the result behind it; whatever pickle raises."""
    buffer = io.BytesIO()
    ForkingPickler(buffer).dump(said)
    ForkingPickler(buffer).dump(result)
    return buffer.getbuffer()


def apart(payload: bytes) -> tuple[Said, memoryview]:
    """What a child says, and what is behind it.

    Raises:
        Exception: It cannot be read.
    """
    stream = io.BytesIO(payload)
    said: Said = pickle.Unpickler(stream).load()  # noqa: S301 - from our own child
    return said, memoryview(payload)[stream.tell() :]


class Reading:
    """Reads a result: one of everyday at once, another in a thread, for it may do anything.

    Args:
        outcome: What the child said of the end.
        payload: The result, pickled.
        step: The name of the step.
    """

    def __init__(self, outcome: Outcome, payload: memoryview, step: str) -> None:
        self._outcome = outcome
        self._step = step
        self._result: Context | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        try:
            self._result = _EverydayUnpickler(io.BytesIO(payload)).load()
            self._ended.set()
        except Exception:  # noqa: BLE001 - a class of the program's, or nothing that can be read
            self._read_in_thread(payload)

    def _read_in_thread(self, payload: memoryview) -> None:
        self._patience = PATIENCE + len(payload) / BYTES_A_SECOND
        self._deadline = time.monotonic() + self._patience

        def read() -> None:
            try:
                self._result = pickle.loads(payload)  # noqa: S301 - from our own child
            except BaseException as error:  # noqa: BLE001 - a result may raise as it likes
                self._error = error
            self._ended.set()

        threading.Thread(target=read, name=f"dotflow-result-{self._step}", daemon=True).start()
        self._ended.wait(AT_ONCE)

    @property
    def is_over(self) -> bool:
        """Whether the result is read, or never will be."""
        return self._ended.is_set() or time.monotonic() > self._deadline

    def outcome(self) -> Outcome:
        """What the child said, with the result; a failure if that cannot be read."""
        if not self._ended.is_set():
            self._error = TookTooLongError(f"it took more than {self._patience:g} s")
        if self._error is None:
            return self._outcome._replace(context=self._result)
        what = f"the result of step {self._step!r} cannot be read in the parent process"
        return self._outcome._replace(failure=pickling_failure(what, self._error))
