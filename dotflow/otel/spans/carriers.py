"""What leads other programs to spans, by the configured propagators."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace

from dotflow.delivery.headers import SPAN, fit
from dotflow.logging import logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span


def carrier_of(context: Context) -> dict[str, str]:
    """What leads another program to a context, by the configured propagators."""
    carrier: dict[str, str] = {}
    try:
        propagate.inject(carrier, context)
    except Exception as error:  # noqa: BLE001 - a propagator may be anybody's
        warn_of(str(error))
    return carrier


def template_of(context: Context, span: Span, secret: str) -> dict[str, str]:
    """The headers that lead dotflow-api to a context, but for the id of the span in it.

    The tasks of a run differ in nothing else: so it is made once a run.

    Args:
        context: The context; a span is current in it.
        span: That span, whose id is said beside it.
        secret: A text (the token) that is not to be written down, whoever put it there.
    """
    found = trace.format_span_id(span.get_span_context().span_id)
    kept = fit(carrier_of(context), secret)
    return {name: value.replace(found, SPAN) for name, value in kept.items()}


@lru_cache(maxsize=16)
def warn_of(error: str) -> None:
    """One line a reason."""
    logger.warning("A propagator of OpenTelemetry failed, and its headers are left out: %s", error)
