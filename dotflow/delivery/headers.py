"""What leads the server that is reported to into the trace: headers, kept with each message."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

from dotflow.utils.json_text import encoder_of
from dotflow.utils.masking import masked_by_default

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 4096
"""Characters of the headers of one message: it is written down, and servers refuse long ones."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\x20-\x7e]*\Z")
_TRACEPARENT = re.compile(r'\{"traceparent":"([0-9a-f-]{55})"\}\Z')

_encode = encoder_of(is_ascii=True)

SPAN = "{span}"
"""Stands in a run's carrier for the id of the span that a message is about."""

BAGGAGE = "baggage"

RESERVED = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-encoding",
    "content-length", "content-type", "cookie", "expect", "host", "idempotency-key",
    "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    "x-user-token",
})  # fmt: skip
"""What says who asks, or how a call is made: no propagator has a say in that."""


def fit(carrier: Mapping[str, str], secret: str = "") -> dict[str, str]:
    """What of a carrier is written down; the longest values give way until it is short enough.

    Args:
        carrier: What the propagators of the program gave: `traceparent` and its kin.
        secret: A text (the token) that is not to be written down, whoever put it there.
    """
    secrets = _forms_of(secret)
    kept = {name: value for name, value in carrier.items() if _is_fit(name, value, secrets)}
    if baggage := kept.pop(BAGGAGE, ""):
        said = ",".join(one for one in baggage.split(",") if not _names_credential(one))
        kept.update({BAGGAGE: said} if said else {})
    while sum(len(name) + len(value) for name, value in kept.items()) > MOST:
        del kept[max(kept, key=lambda name: len(kept[name]))]
    return kept


def _names_credential(entry: str) -> bool:
    """Whether an entry of baggage is a credential by its name: it is left out."""
    plain = unquote_plus(entry)
    return masked_by_default(plain) != plain


def to_headers(carrier: Mapping[str, str], secret: str = "") -> str:
    """The same as JSON; empty where nothing is left."""
    kept = fit(carrier, secret)
    return _encode(kept) if kept else ""


@lru_cache(maxsize=64)
def _carrier_text(names: tuple[tuple[str, str], ...]) -> str:
    return _encode(dict(names))


def carried(carrier: Mapping[str, str], span: str = "") -> str:
    """The headers of one message, as it keeps them.

    Args:
        carrier: Those of its run; `{span}` stands for the id of the span.
        span: That id.
    """
    if not carrier:
        return ""
    return _carrier_text(tuple(carrier.items())).replace(SPAN, span)


def headers_of(text: str) -> dict[str, str]:
    """The headers that a message keeps; none where the file that it was in is damaged."""
    if not text:
        return {}
    if (usual := _TRACEPARENT.match(text)) is not None:
        return {"traceparent": usual[1]}
    try:
        kept = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(kept, dict):
        return {}
    return {name: value for name, value in kept.items() if _is_fit(name, value)}


@lru_cache(maxsize=16)
def _forms_of(secret: str) -> tuple[str, ...]:
    return (secret, quote_plus(secret)) if secret else ()  # baggage is quoted


def _is_fit(name: object, value: object, secrets: tuple[str, ...] = ()) -> bool:
    return (
        isinstance(name, str)
        and isinstance(value, str)
        and name.lower() not in RESERVED
        and _NAME.match(name) is not None
        and _VALUE.match(value) is not None
        and not any(secret in value for secret in secrets)
    )
