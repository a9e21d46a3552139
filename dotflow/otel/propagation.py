"""Where a run comes from, and how a step in another process finds its span."""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import util
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from dotflow.delivery.at_exit import flush_timeout
from dotflow.logging import logger
from dotflow.otel.batch import keep_in_child
from dotflow.otel.spill import leave_to_parent

_UNFIT = re.compile("[^A-Z0-9_]")


class EnvironmentGetter(Getter[Mapping[str, str]]):
    """Reads a propagator's fields from environment variables: `traceparent` from `TRACEPARENT`.

    https://opentelemetry.io/docs/specs/otel/context/env-carriers/
    """

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        """The value of a field."""
        value = carrier.get(_UNFIT.sub("_", key.upper()))
        return None if not value else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """The names of all variables, as fields."""
        return [name.lower() for name in carrier]


_getter = EnvironmentGetter()


def where_the_run_comes_from() -> Context:
    """The current context; where no span is current in it, the one that the environment names."""
    current = otel_context.get_current()
    if trace.get_current_span(current).get_span_context().is_valid:
        return current
    found = propagate.extract(os.environ, current, _getter)
    named = os.environ.get("TRACEPARENT")
    if named and not trace.get_current_span(found).get_span_context().is_valid:
        _warn_of(named)
    return found


@lru_cache(maxsize=16)
def _warn_of(_traceparent: str) -> None:
    """One line a value: a program may run a workflow a thousand times under it."""
    logger.warning("TRACEPARENT does not name a span, and is ignored.")


def carrier_of(context: Context) -> dict[str, str]:
    """What leads to a context from another process, by the configured propagators."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context)
    return carrier


@contextmanager
def attached(carrier: Mapping[str, str]) -> Iterator[None]:
    """Make the context that a carrier leads to current; in a child also see to its spans' end."""
    _flush_at_the_end_of_a_child()
    token = otel_context.attach(propagate.extract(carrier, Context()))
    try:
        yield
    finally:
        otel_context.detach(token)


providers: weakref.WeakSet[Any] = weakref.WeakSet()
"""Tracer providers of this process that are not the global one."""

_flushing_pid = 0


def _flush_at_the_end_of_a_child() -> None:
    """Have the spans of a child process leave before it ends, whose `atexit` does not run."""
    global _flushing_pid  # noqa: PLW0603 - once a process
    if _flushing_pid != os.getpid():
        _flushing_pid = os.getpid()
        leave_to_parent()
        util.Finalize(None, _flush_providers, exitpriority=100)


def _flush_providers() -> None:
    thread = threading.Thread(target=_force_flush, name="dotflow-flush", daemon=True)
    thread.start()
    # The SDK's own limit is not kept by its exporters.
    thread.join(flush_timeout())
    keep_in_child()


def _force_flush() -> None:
    for provider in {*providers, trace.get_tracer_provider()}:
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            flush()
