"""What may be said of errors: what reports say of them, log lines say too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.abc.task import Failure, TaskView

Words = tuple[str, str]
"""The message and the traceback of an error."""


def masked_words(error: Failure) -> Words:
    """The words of an error, the values beside a credential's name masked."""
    # Here, for most runs say nothing of errors.
    from dotflow.utils.masking import masked_by_default

    return masked_by_default(error.message), masked_by_default(error.traceback)


def words_of_last(task: TaskView) -> Words:
    """The words of a task's last error, as the Server of its run has them."""
    return words_in(task, task.errors[-1])


def words_in(subject: Any, error: Failure) -> Words:
    """The words of an error, as the Server of a task, or of a run, has them."""
    server: Any = getattr(getattr(subject, "config", None), "server", None)
    say = getattr(server, "words_of", masked_words)
    words: Words = say(error)
    return words
