"""Errors as text."""

from __future__ import annotations

import os
import traceback
import types
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from traceback import TracebackException
    from types import TracebackType

Frame = TypeVar("Frame")

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH120, PTH100
_EXAMPLES = f"{_PACKAGE}examples{os.sep}"
"""Where the examples are if the package was installed: code as a user writes it."""

_CARRIERS = tuple(
    os.path.dirname(os.path.abspath(os.__file__)) + os.sep + one  # noqa: PTH120, PTH100
    for one in ("threading.py", "multiprocessing" + os.sep, "asyncio" + os.sep,
                "concurrent" + os.sep, "contextlib.py", "selectors.py")
)  # fmt: skip
"""What carries a call into another thread, process or event loop."""

_SAYS_ALL = "Interrupted"
"""The exception whose message says what its name does."""


def traceback_error(error: BaseException) -> str:
    """The traceback text of an exception; you may call it outside the `except` block.

    The text begins at your code. It leaves out the frames of dotflow, and the frames of threads,
    processes and event loops that dotflow made. Chained exceptions, and those of a group, are shown
    in the same way. If dotflow's are the only frames, the text has them; for an interrupt it has
    none.
    """
    found = traceback.TracebackException(type(error), error, error.__traceback__)
    for one in _with_related(found):
        kept = _users(one.stack, lambda frame: frame.filename)
        if kept or isinstance(error, KeyboardInterrupt):
            one.stack = traceback.StackSummary.from_list(kept)
    return "".join(found.format())


def without_our_frames(found: TracebackType | None) -> TracebackType | None:
    """A traceback from the user's code on, as one that an exception can have."""
    frames = []
    while found is not None:
        frames.append(found)
        found = found.tb_next
    made = None
    for one in reversed(_users(frames, lambda one: one.tb_frame.f_code.co_filename)):
        made = types.TracebackType(made, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return made


def message_error(error: BaseException) -> str:
    """The message of an exception."""
    return str(error)


def class_and_message(name: str, message: str) -> str:
    """What failed, in one text: the name of an exception's class, and what it says.

    Args:
        name: The name of the class.
        message: What it says.
    """
    if not message or name == _SAYS_ALL:
        return message or name
    if not name or message == name or message.startswith(f"{name}: "):
        return message
    return f"{name}: {message}"


def _with_related(found: TracebackException) -> Iterable[TracebackException]:
    """A traceback, and those of the exceptions that it shows with it."""
    waiting: list[TracebackException | None] = [found]
    while waiting:
        one = waiting.pop()
        if one is not None:
            yield one
            waiting += (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ()))


def _users(frames: Iterable[Frame], file_of: Callable[[Frame], str]) -> list[Frame]:
    """The frames that are not ours, nor there because of us."""
    kept: list[Frame] = []
    passed: list[Frame] = []  # carriers of which it is not known yet whose they are
    is_ours_before = False
    for frame in frames:
        name = file_of(frame)
        if name.startswith(_PACKAGE) and not name.startswith(_EXAMPLES):
            is_ours_before, passed = True, []
        elif name.startswith(_CARRIERS):
            passed.append(frame)
        else:
            kept += [frame] if is_ours_before else [*passed, frame]
            is_ours_before, passed = False, []
    return kept if is_ours_before or not kept else kept + passed
