"""What a step raised, kept after it was handled: without its frames.

The frames of a traceback hold all that a step had in its hands, and the engine's own, which lead
back to the task: one kept exception would keep megabytes, in a circle. What they say is text by
then.
"""

from __future__ import annotations

import builtins
from typing import Any

from dotflow.utils.error_handler import class_and_message

# As BaseException has them, whatever a class of a user's says of them.
_SLOTS: dict[str, Any] = dict(vars(BaseException))
_TRACEBACK, _CAUSE, _CONTEXT = (_SLOTS[f"__{name}__"] for name in ("traceback", "cause", "context"))
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)  # from Python 3.11 on


def reduced(error: BaseException) -> tuple[Any, ...]:
    """How an exception of ours is pickled: its constructor does not take what its args are."""
    return revived, (type(error), error.args, error.__dict__)


def revived(cls: type[BaseException], said: tuple[Any, ...], more: dict[str, Any]) -> BaseException:
    """The exception again."""
    error = cls.__new__(cls, *said)
    error.__dict__.update(more)
    return error


class StepError(Exception):
    """A step in another process raised an exception that cannot be pickled.

    `TaskError.cause` is then a `StepError` with the words of the original.

    Remedy: Read `exception`, `message` and `traceback`; mend the step.

    Attributes:
        exception: The name of its class.
        message: What it said.
        traceback: Its full traceback text.
    """

    __reduce__ = reduced

    def __init__(self, exception: str, message: str, traceback: str = "") -> None:
        super().__init__(class_and_message(exception, message))
        self.exception = exception
        self.message = message
        self.traceback = traceback


class StepTraceback(Exception):
    """Never by itself: it is the cause of a step's exception, and has the text of its traceback.

    dotflow does not keep the frames, because they would keep all that the step held.

    Remedy: Read its text; mend the step.
    """

    __reduce__ = reduced

    def __init__(self, traceback: str) -> None:
        super().__init__(f"\n{traceback.rstrip()}")


def has_frames(error: BaseException) -> bool:
    """Whether an exception has a traceback."""
    return _TRACEBACK.__get__(error) is not None


def drop_frames(error: BaseException, outer: BaseException | None = None) -> None:
    """Take the frames from an exception, and from those that it came from.

    Args:
        error: The exception; nobody handles it any more.
        outer: One that is being handled around all this, and has nothing to do with it: it
            keeps its frames, and is no context of `error` any more.
    """
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        _TRACEBACK.__set__(one, None)
        if outer is not None and _CONTEXT.__get__(one) is outer:
            _CONTEXT.__set__(one, None)
        left += [before for slot in (_CAUSE, _CONTEXT) if (before := slot.__get__(one)) is not None]
        if _GROUP is not None and issubclass(type(one), _GROUP):
            left += _GROUP.exceptions.__get__(one)


def tell_before(error: BaseException, said: BaseException) -> None:
    """Have an exception be shown before another one, and before all that this came from.

    Args:
        error: The exception, which has no frames.
        said: What is shown first; it takes the place of one of its kind.
    """
    seen = {id(error)}
    while True:
        before = _CAUSE.__get__(error) or _CONTEXT.__get__(error)
        if before is None or type(before) is type(said) or id(before) in seen:
            break
        seen.add(id(before))
        error = before
    _CAUSE.__set__(error, said)
