"""TaskError: one failed attempt, as text."""

from __future__ import annotations

from dotflow.utils.error_handler import message_error, traceback_error

# Where the engine itself gives an exception its `error.type`, because the class does not say it.
ERROR_TYPE = "__dotflow_error_type__"


class TaskError:
    """One failed attempt of a task, as text.

    Args:
        error: The exception; without one all is empty.
        attempt: The number of the attempt; None for the one that failed the task.

    Attributes:
        exception: The name of the exception's class.
        message: What it says.
        traceback: Its full traceback text.
        error_type: The value of OpenTelemetry's `error.type`: the qualified class name, or
            "timeout" where the engine's limit ended the attempt.
    """

    def __init__(self, error: BaseException | None = None, attempt: int | None = None) -> None:
        self.attempt = attempt
        self.exception = type(error).__name__ if error is not None else ""
        self.message = _message(error) if error is not None else ""
        self.traceback = traceback_error(error) if error is not None else ""
        self.error_type = _error_type(error) if error is not None else ""

    def __repr__(self) -> str:
        return f"TaskError(attempt={self.attempt}, {self.exception}: {self.message})"


def _message(error: BaseException) -> str:
    try:
        return message_error(error)
    except Exception:  # noqa: BLE001 - the words of an error are only reported
        return f"<{type(error).__name__} whose message raises>"


def _error_type(error: BaseException) -> str:
    given = getattr(error, ERROR_TYPE, None)
    if isinstance(given, str):
        return given
    cls = type(error)
    if cls.__module__ in ("builtins", None):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def warn_of_error() -> None:
    """Warn of the attribute that had room for one error only; for Task's own property to call."""
    import warnings

    warnings.warn("Task.error is deprecated: use Task.errors", DeprecationWarning, stacklevel=3)
