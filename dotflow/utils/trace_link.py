"""The address under which people see a trace: DOTFLOW_TRACE_URL."""

from __future__ import annotations

import os
from functools import lru_cache

from dotflow.logging import logger

VARIABLE = "DOTFLOW_TRACE_URL"
PLACE = "{trace_id}"


def trace_link(trace_id: str | None) -> str | None:
    """The address of a trace, as `DOTFLOW_TRACE_URL` says it; None without trace or variable.

    Args:
        trace_id: The id of the trace, in 32 hex digits.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not (given and _is_usable(given) and trace_id):
        return None
    from urllib.parse import quote  # here, for few programs have links

    # Not `format`: other braces may be a part of the address, as in Grafana's.
    return given.replace(PLACE, quote(trace_id, safe=""))


@lru_cache(maxsize=16)
def _is_usable(given: str) -> bool:
    """Whether an address can be used; why it cannot is said once, without the address."""
    wrong = fault_of(given)
    if wrong:
        logger.warning(
            "%s %s: there are no links to traces. It must be an http or https address with %s in "
            "it, as https://jaeger.example/trace/%s.", VARIABLE, wrong, PLACE, PLACE,
        )  # fmt: skip
    return not wrong


def fault_of(given: str) -> str:
    """What is wrong with an address of traces, without the address; "" where nothing is."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(given)
        has_host, has_user = bool(parts.hostname), "@" in parts.netloc
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https") or not has_host:
        return "is no http or https address"
    if has_user:
        return "has a user or a password, which everybody would see"
    if PLACE not in given:
        return f"has no {PLACE}"
    if not given.isprintable() or " " in given:
        return "has a blank or a control character"
    return ""
