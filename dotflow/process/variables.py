"""Variables of OpenTelemetry's that are wrong: each costs one line, and nothing that works without.

OpenTelemetry raises for some of them, already when it is imported. So it is imported, and providers
are asked for and made, while the environment is without them.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Checks = dict[str, Callable[[str, str], "str | None"]]

LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
)
NO_LIMIT = "unset"  # the SDK's word

CHOICES = {
    "OTEL_METRICS_EXEMPLAR_FILTER": ("always_on", "always_off", "trace_based"),
    "OTEL_SDK_DISABLED": ("true", "false"),
    "OTEL_TRACES_SAMPLER": (
        "always_on", "always_off", "traceidratio", "parentbased_always_on",
        "parentbased_always_off", "parentbased_traceidratio",
    ),
}  # fmt: skip

INSTALLED = {
    "OTEL_PROPAGATORS": "opentelemetry_propagator",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "opentelemetry_resource_detector",
    "OTEL_PYTHON_CONTEXT": "opentelemetry_context",
    "OTEL_PYTHON_ID_GENERATOR": "opentelemetry_id_generator",
    "OTEL_PYTHON_LOGGER_PROVIDER": "opentelemetry_logger_provider",
    "OTEL_PYTHON_METER_PROVIDER": "opentelemetry_meter_provider",
    "OTEL_PYTHON_TRACER_PROVIDER": "opentelemetry_tracer_provider",
}
"""Variables that name what is installed, each with its group of entry points."""

PROVIDERS = tuple(name for name in INSTALLED if name.endswith("_PROVIDER"))
"""Those of which the API loads a provider when it is first asked for one."""

MOST_SHOWN = 80
"""Characters of a wrong value that are repeated."""

EVERYTHING = frozenset({"none", "*"})
"""Names that stand for no such thing, and for all."""

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - in a forked child nobody holds it
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def mended(checks: Checks | None = None) -> Iterator[None]:
    """Have the environment be without what is wrong in it; each wrong variable is told of once.

    Args:
        checks: By variable what it is to be taken for; without them those that the SDK reads.
    """
    found = {name: _mended(name, check) for name, check in (checks or _CHECKS).items()}
    wrong = {name: right for name, right in found.items() if right != os.environ.get(name)}
    if not wrong:
        yield
        return
    with _lock:
        given = {name: os.environ.get(name) for name in wrong}
        try:
            for name, right in wrong.items():
                _set(name, right)
            yield
        finally:
            for name, value in given.items():
                _set(name, value)


def mended_for_providers() -> AbstractContextManager[None]:
    """`mended`, for whoever asks for a global provider: where a variable has one be loaded then."""
    is_loaded = any(name in os.environ for name in PROVIDERS)
    return mended() if is_loaded else nullcontext()


@lru_cache(maxsize=64)
def warn(line: str) -> None:
    """Say something once."""
    logger.warning("%s", line)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _mended(name: str, check: Callable[[str, str], str | None]) -> str | None:
    """What a variable is to be taken for; None for one that is as if it were not there."""
    given = os.environ.get(name)
    if given is None:
        return None
    return check(name, given) if given.strip() else None


def _limit(name: str, given: str) -> str | None:
    said = given.strip().lower()
    if said == NO_LIMIT or said.isdecimal():
        return given
    return _ignored(name, given, f"it may be a whole number or {NO_LIMIT!r}")


def _choice(name: str, given: str) -> str | None:
    if given.strip().lower() in CHOICES[name]:
        return given
    return _ignored(name, given, f"it may be {' or '.join(CHOICES[name])}")


def _ratio(name: str, given: str) -> str | None:
    try:
        is_ratio = 0 <= float(given) <= 1
    except ValueError:
        is_ratio = False
    # Of another sampler it is the argument of, nobody reads it here.
    if is_ratio or "ratio" not in os.environ.get("OTEL_TRACES_SAMPLER", ""):
        return given
    _ignored(name, given, "it may be a number from 0 to 1")
    return "1"  # without one the SDK takes this, and says so in its words


def _pairs(name: str, given: str) -> str | None:
    parts = [one for one in given.split(",") if one.strip()]
    good = [one for one in parts if one.partition("=")[0].strip() and "=" in one]
    for number, one in enumerate(parts, 1):
        if one not in good:
            warn(f"{name}: part {number} is not KEY=VALUE, and is left out.")
    return given if good == parts else ",".join(good) or None


def _installed(name: str, given: str) -> str | None:
    named = [one.strip() for one in given.split(",") if one.strip()]
    good = [one for one in named if one.lower() in EVERYTHING or _is_there(INSTALLED[name], one)]
    for one in named:
        if one not in good:
            warn(f"{name} names {one[:MOST_SHOWN]!r}, which is not installed: it is left out.")
    return given if good == named else ",".join(good) or None


@lru_cache(maxsize=64)
def _is_there(group: str, name: str) -> bool:
    from importlib.metadata import entry_points  # it takes its time

    try:
        [found, *_] = entry_points(group=group, name=name)
        found.load()
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be had
        return False
    return True


def _ignored(name: str, given: str, allowed: str) -> str | None:
    warn(f"{name} is {given[:MOST_SHOWN]!r}: {allowed}. The value is ignored.")
    return None


_CHECKS: Checks = {
    **dict.fromkeys(LIMITS, _limit),
    **dict.fromkeys(CHOICES, _choice),
    **dict.fromkeys(INSTALLED, _installed),
    "OTEL_TRACES_SAMPLER_ARG": _ratio,
    "OTEL_RESOURCE_ATTRIBUTES": _pairs,
}
