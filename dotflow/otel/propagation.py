"""How a step in another process finds its span, and dotflow-api that of a report."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dotflow.otel.export.children import step_child
from dotflow.otel.export.provider.ending import see_to_the_end
from dotflow.otel.spans.carriers import carrier_of, warn_of
from dotflow.otel.spans.origin import within_run
from dotflow.process import at_exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_w3c = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def be_a_child(carrier: Mapping[str, str]) -> None:
    """Have this process, a child that runs one step, leave its spans to its parent to send."""
    if at_exit.is_child():
        step_child.begin(carrier)


def step_carrier_of(context: Context) -> dict[str, str]:
    """What leads a child process to a context: also where no propagators are configured."""
    carrier = {} if _speaks_w3c_alone() else carrier_of(context)
    _w3c.inject(carrier, context)
    return carrier


@contextmanager
def attached(carrier: Mapping[str, str]) -> Iterator[None]:
    """Make the context that a carrier leads to current; in a child also see to its spans' end."""
    see_to_the_end()
    token = otel_context.attach(context_of(carrier))
    try:
        yield
    finally:
        otel_context.detach(token)


def context_of(carrier: Mapping[str, str]) -> Context:
    """The context that a carrier leads to, for a step in another process."""
    context = within_run(Context())
    if not _speaks_w3c_alone():
        try:
            context = propagate.extract(carrier, context)
        except Exception as error:  # noqa: BLE001 - a propagator may be anybody's
            warn_of(str(error))
    return _w3c.extract(carrier, context)


def _speaks_w3c_alone() -> bool:
    return propagate.get_global_textmap().fields <= _w3c.fields
