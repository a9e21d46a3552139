r"""An application with a tracer provider of its own, and Sentry beside it.

dotflow adds its spans to the provider that is there and replaces nothing, so they go where the
application's spans go. An error is in Sentry too, under the id of the same trace and with the
values that Sentry keeps of each frame. Sentry's link leads from the error to the trace.

    pip install sentry-sdk
    SENTRY_DSN=https://...@....ingest.sentry.io/1 \
        OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python examples/own_provider_sentry.py
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from sentry_sdk.integrations.otlp import OTLPIntegration

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

if TYPE_CHECKING:
    from collections.abc import Callable


def in_sentry(step: Callable[..., Any]) -> Callable[..., Any]:
    """Have Sentry see what a step raises, while the step's span is current."""

    @functools.wraps(step)
    def seen(*args: Any, **kwargs: Any) -> Any:
        try:
            return step(*args, **kwargs)
        except Exception as error:
            sentry_sdk.capture_exception(error)
            raise

    return seen


@action
@in_sentry
def load(initial_context: Any) -> list[str]:
    """The rows."""
    return list(initial_context.storage)


@action
@in_sentry
def check(previous_context: Any) -> int:
    """See that they are numbers."""
    return sum(int(row) for row in previous_context.storage)


def main() -> None:
    """Set up the application as it was before dotflow came, then run a workflow in it."""
    provider = TracerProvider(resource=Resource.create({"service.name": "billing"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    sentry_sdk.init(
        os.environ["SENTRY_DSN"],
        # It links errors to the current span; spans and propagation stay OpenTelemetry's.
        integrations=[OTLPIntegration(setup_otlp_traces_exporter=False, setup_propagator=False)],
    )
    with trace.get_tracer("billing").start_as_current_span("close the month"):
        workflow = DotFlow(config=Config(server=ServerOtel()), name="invoices")
        workflow.task.add(step=[load, check], initial_context="12x4")
        run = workflow.start()
    print(run.trace_id)
    provider.shutdown()
    sentry_sdk.flush()


if __name__ == "__main__":
    main()
