"""The one place where the fault of a provider or a callback is kept away from the work."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dotflow.core.forked import is_ending
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

MOST_SAID = 1000
"""Different losses that are said; further ones are only counted."""


class Guard:
    """Calls the hooks of providers: what one raises is logged once, counted, and goes no further.

    Attributes:
        failures: How often each hook raised, by `Class.hook`; a task's callback by
            `step.callback`, those of a run by `DotFlow.on_success` and `DotFlow.on_failure`.
    """

    def __init__(self) -> None:
        self.failures: Counter[str] = Counter()
        self._said: set[str] = set()

    def report(self, server: Any, fact: Any, subject: Any) -> None:
        """Tell a Server of a fact."""
        try:
            server.happened(fact, subject)
        except BaseException as error:  # noqa: BLE001 - that is what a guard is for
            self.failed(server, "happened", error)

    def call(self, provider: Any, hook: str, *args: Any, **kwargs: Any) -> Any:
        """Call a hook and return what it returns; None where it raised."""
        try:
            return getattr(provider, hook)(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - that is what a guard is for
            self.failed(provider, hook, error)
            return None

    def enter(self, provider: Any, hook: str, *args: Any) -> Callable[[], None]:
        """Enter the context manager that a hook returns; return what leaves it.

        Not itself a context manager, so that what the work raises never passes through the
        provider's.
        """
        manager: AbstractContextManager[Any] | None = self.call(provider, hook, *args)
        if manager is None:
            return _nothing
        try:
            manager.__enter__()
        except BaseException as error:  # noqa: BLE001 - that is what a guard is for
            self.failed(provider, hook, error)
            return _nothing

        def leave() -> None:
            try:
                manager.__exit__(None, None, None)
            except BaseException as error:  # noqa: BLE001
                self.failed(provider, hook, error)

        return leave

    def failed(self, provider: Any, hook: str, error: BaseException) -> None:
        """Count that a hook raised; log the first time that it did.

        Raises:
            BaseException: It ends the program: the same again.
        """
        if is_ending(error):
            raise error
        cls = provider if isinstance(provider, type) else type(provider)
        self.raised(f"{cls.__name__}.{hook}", error)

    def raised(self, name: str, error: BaseException | None = None, traceback: str = "") -> None:
        """Count that something raised; log the first time that it did.

        Args:
            name: What it was.
            error: What it raised; not needed with its traceback.
            traceback: The text of that.
        """
        self.failures[name] += 1
        if self.failures[name] == 1:
            logger.error(
                "%s raised; the workflow goes on. Its further failures are counted, not logged.%s",
                name,
                f"\n{traceback}" if traceback else "",
                exc_info=error,
            )

    def lost(self, provider: Any, hook: str, words: str) -> None:
        """Count what a provider did not take, and say it, the same words once."""
        self.failures[f"{type(provider).__name__}.{hook}"] += 1
        if words not in self._said and len(self._said) < MOST_SAID:
            self._said.add(words)
            logger.warning("%s", words)


def _nothing() -> None:
    """Leave what was never entered."""
