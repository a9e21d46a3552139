"""Whose a pickle in a bucket is: it is signed by the secret that all who run the workflow share."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re

VARIABLE = "DOTFLOW_STORAGE_KEY"

SHORTEST = 32
"""Characters that a key must have."""

REMEDY = (
    f"set {VARIABLE} to one secret of at least {SHORTEST} characters wherever the workflow runs "
    "(docs/guides/storage.md)"
)


def keys() -> list[bytes]:
    """The keys that are set: the first one signs, all verify."""
    return [one.encode() for one in re.split(r"[\s,]+", os.environ.get(VARIABLE, "")) if one]


def fault_of_keys() -> str | None:
    """What keeps these keys from being used; None where they can be."""
    found = keys()
    if not found:
        return f"{VARIABLE} is not set"
    if min(len(one.decode()) for one in found) < SHORTEST:
        return f"{VARIABLE} has a key with less than {SHORTEST} characters"
    return None


def signature(name: str, kind: str, payload: memoryview) -> str:
    """The signature of a pickle, by the first key.

    Args:
        name: The key under which it is kept: it is no pickle of another's.
        kind: The name of its type.
        payload: The pickle.
    """
    return _signed(keys()[0], name, kind, payload)


def is_ours(said: object, name: str, kind: str, payload: memoryview) -> bool:
    """Whether a signature was made by one of our keys."""
    if not isinstance(said, str) or not said.isascii():
        return False
    return any(hmac.compare_digest(said, _signed(one, name, kind, payload)) for one in keys())


def _signed(secret: bytes, name: str, kind: str, payload: memoryview) -> str:
    about = json.dumps(["dotflow pickle 1", name, kind, len(payload)])
    made = hmac.new(secret, about.encode() + b"\n", hashlib.sha256)
    made.update(payload)
    return made.hexdigest()
