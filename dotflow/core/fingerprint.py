"""Fingerprints: whether a resumed workflow has the input that it began with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.core.jsonable import is_comparable
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.storage import Storage


class Fingerprints:
    """The fingerprints of values: equal values have equal ones, in every process.

    Args:
        values: Any values, as the initial contexts of tasks.

    Attributes:
        each: A short one (16 hex digits) for each value.
        whole: The one of all of them: the sha256 (64 hex digits) of their JSON, sorted by key. What
            JSON cannot express is compared by what pickle would keep of it, sets in any order.
        left_out: The types of what cannot be compared.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        import hashlib  # here, for only a run that may be resumed needs it

        self.each: list[str] = []
        self.left_out: set[str] = set()
        whole = hashlib.sha256(b"[")
        for number, value in enumerate(values):
            text = self._text(value).encode("utf-8", "surrogatepass")
            whole.update(b", " + text if number else text)
            self.each.append(hashlib.sha256(text).hexdigest()[:16])
        whole.update(b"]")
        self.whole = whole.hexdigest()

    def _text(self, value: Any) -> str:
        if is_comparable(value):
            import json

            try:
                return json.dumps(value, sort_keys=True)
            except (TypeError, ValueError, RecursionError):
                pass  # keys that have no order, a list within itself, one in a thousand others
        from dotflow.core.digest import digest_of  # here, for few inputs need it

        digest, left_out = digest_of(value)
        self.left_out |= left_out
        return digest


def fingerprint_of(values: Iterable[Any]) -> str:
    """The fingerprint of values, 64 hex digits; equal values have equal ones in every process.

    What cannot be compared (a lock, a connection) is left out, with one line in the log.
    """
    prints = Fingerprints(values)
    warn_of(prints)
    return prints.whole


def warn_of(prints: Fingerprints) -> None:
    """Say what of an input cannot be compared, if anything."""
    if prints.left_out:
        logger.warning(
            "A part of the input cannot be compared (%s): if only this part changes, a resumed run "
            "does not notice. Give start(fingerprint=...) a text that stands for the whole input.",
            ", ".join(sorted(prints.left_out)),
        )


def fp_key(workflow_id: Any) -> str:
    """The storage key of a workflow's fingerprint."""
    return f"{workflow_id}-_input_fp"


def read_fingerprint(storage: Storage, workflow_id: Any) -> str | None:
    """The fingerprint that is kept for a workflow; None where there is none."""
    kept = storage.get(fp_key(workflow_id)).storage
    return kept if isinstance(kept, str) else None


def write_fingerprint(storage: Storage, workflow_id: Any, value: str) -> None:
    """Keep a fingerprint for a workflow."""
    storage.post(key=fp_key(workflow_id), context=Context(value))
