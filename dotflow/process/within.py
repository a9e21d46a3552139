"""Runs what a user's value does when it is looked at, for so long and no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class TookTooLongError(Exception):
    """What was asked of a value had not ended when its time was over."""


class Failed(NamedTuple):
    """What `within` returns in place of a result."""

    error: BaseException


def within(
    seconds: float, work: Callable[[], Result], life: Callable[[], int] | None = None
) -> Result | Failed:
    """What `work` returns, or what it raised, whatever that is; it is waited for so long.

    It runs in a thread of its own, for Python cannot stop it: what takes longer goes on there,
    without effect, until it or the program ends. What a signal raises in the caller is raised.

    Args:
        seconds: How long it is waited for.
        work: What may raise anything, or never end. It sees the caller's context variables.
        life: A number that changes while the work goes on: then it is waited for as long again.

    Returns:
        What it returned; Failed with what it raised, or with a TookTooLongError.
    """
    # Here, for few programs have such values.
    import threading
    from contextvars import copy_context

    result: list[Result] = []
    raised: list[BaseException] = []
    ended = threading.Lock()
    ended.acquire()

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - a value may raise anything
            raised.append(error)
        ended.release()

    thread = threading.Thread(
        target=copy_context().run, args=(run,), name="dotflow-value", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:  # the interpreter is at its end, or there are too many
        run()
    # Not `join`: what interrupts it leaves a thread that seems to have ended.
    seen = None
    while not ended.acquire(timeout=seconds) and life is not None and seen != (seen := life()):
        pass
    if result:
        return result[0]
    return Failed(raised[0] if raised else TookTooLongError(f"it took more than {seconds:g} s"))
