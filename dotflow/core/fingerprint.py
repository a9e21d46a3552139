"""Fingerprints: whether a resumed workflow has the input that it began with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.storage import Storage


def fingerprint_of(values: Sequence[Any]) -> str:
    """The sha256 (64 hex digits) of the values' JSON, or of their `repr` where JSON fails."""
    import hashlib  # here, for only a run that is resumed needs them
    import json

    try:
        text = json.dumps(values, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        text = repr(values)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


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
