"""Where a run comes from: the current span, else the one that the environment names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import INVALID_SPAN, SpanContext

from dotflow.logging import logger

if TYPE_CHECKING:
    from opentelemetry.context import Context

VARIABLE = "DOTFLOW_TRACE_CONTINUATION"

_UNFIT = re.compile("[^A-Z0-9_]")
_WITHIN_RUN = otel_context.create_key("dotflow-within-run")
_NO_SPAN_ALONE = frozenset({"baggage", "tracestate"})


class TraceContinuation(Enum):
    """What a run does with the trace that it is started in."""

    CONTINUE = "continue"  # become a part of it
    LINK = "link"  # be a trace of its own, with a link to it
    NEW = "new"  # be a trace of its own, and say nothing of it

    @classmethod
    def chosen(cls, given: TraceContinuation | str | None) -> TraceContinuation:
        """What an argument says, or without one `DOTFLOW_TRACE_CONTINUATION`, or else CONTINUE.

        Raises:
            ValueError: The argument is none of the three.
        """
        if given is not None:
            try:
                return cls(given)
            except ValueError:
                raise ValueError(
                    f"trace_continuation is {given!r}: it may be 'continue', 'link' or 'new'"
                ) from None
        said = os.environ.get(VARIABLE, "").strip().lower()
        if said and said not in [one.value for one in cls]:
            _warn(f"{VARIABLE} is {said!r}: it may be 'continue' (and is), 'link' or 'new'.")
            said = ""
        return cls(said or cls.CONTINUE)


class Origin(NamedTuple):
    """Where a run comes from.

    Attributes:
        context: What to start its span in: the parent, where it has one, and the baggage.
        linked: The span that it is to link to, where it does not continue its trace.
    """

    context: Context
    linked: SpanContext | None = None


class EnvironmentGetter(Getter[Mapping[str, str]]):
    """Reads a propagator's fields from environment variables: `traceparent` from `TRACEPARENT`.

    https://opentelemetry.io/docs/specs/otel/context/env-carriers/
    """

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        """The value of a field."""
        value = carrier.get(_variable_of(key))
        return None if not value else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """The names of all variables, as fields."""
        return [name.lower() for name in carrier]


_getter = EnvironmentGetter()


def origin_of_a_run(continuation: TraceContinuation) -> Origin:
    """Where a run that starts now, in this thread, comes from.

    Within a step of another run it is a part of that run, whatever the program wants of the
    traces that its runs are started in. Baggage of the program comes along in any case; what the
    environment names (its baggage too) is not looked at with NEW.
    """
    current = otel_context.get_current()
    if otel_context.get_value(_WITHIN_RUN, current):
        return Origin(current)
    if continuation is TraceContinuation.NEW:
        return Origin(_without_span(current))
    found = current if _span_in(current).is_valid else _from_environment(current)
    if continuation is TraceContinuation.CONTINUE:
        return Origin(found)
    span = _span_in(found)
    return Origin(_without_span(found), span if span.is_valid else None)


def within_run(context: Context) -> Context:
    """A context for steps: a run that one of them starts is a part of this one."""
    return otel_context.set_value(_WITHIN_RUN, True, context)


def _from_environment(current: Context) -> Context:
    """The context that the environment names, read by the configured propagators."""
    try:
        found = propagate.extract(os.environ, current, _getter)
        fields = propagate.get_global_textmap().fields - _NO_SPAN_ALONE
    except Exception as error:  # noqa: BLE001 - a propagator may be anybody's
        _warn(f"The trace that the environment names cannot be read, and is ignored: {error}")
        return current
    named = [name for name in sorted(map(_variable_of, fields)) if os.environ.get(name)]
    if named and not _span_in(found).is_valid:
        _warn(f"{' and '.join(named)} does not name a span, and is ignored.")
    for name, value in baggage.get_all(current).items():  # the program's own is nearer
        found = baggage.set_baggage(name, value, found)
    return found


def _variable_of(field: str) -> str:
    return _UNFIT.sub("_", field.upper())


def _span_in(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def _without_span(context: Context) -> Context:
    return trace.set_span_in_context(INVALID_SPAN, context)


@lru_cache(maxsize=64)
def _warn(line: str) -> None:
    """One line a reason: a program may run a workflow a thousand times for it."""
    logger.warning("%s", line)
