"""A web application: a request starts a run in the background, in the same trace.

`POST /orders/7` answers at once with the ids of the run and of the trace. The run goes on, and its
spans are below the request's span. If the caller sends `traceparent`, both are in the caller's
trace. A workflow runs once at a time, so each request makes a workflow of its own.

    pip install 'dotflow[api]'
    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 uvicorn --app-dir examples fastapi_app:app
    curl -X POST http://127.0.0.1:8000/orders/7

Newer versions of FastAPI make a span for each request, as `opentelemetry-instrumentation-fastapi`
does. If neither does, `span_of` makes the span.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from fastapi import FastAPI, Request
from opentelemetry import trace
from opentelemetry.propagate import extract

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

server = ServerOtel(service_name="shop")
tracer = trace.get_tracer("shop", tracer_provider=server.tracer_provider)
app = FastAPI()


@action(retry=3, retry_delay=0.1)
def charge(initial_context: Any) -> dict[str, Any]:
    """Take the money."""
    return {"order": initial_context.storage, "charged": True}


@action
def ship(previous_context: Any) -> str:
    """Send the parcel."""
    return f"order {previous_context.storage['order']} is on its way"


def fulfilment(order: int) -> DotFlow:
    """The workflow of one order."""
    workflow = DotFlow(config=Config(server=server), name="fulfilment")
    workflow.task.add(step=[charge, ship], initial_context=order)
    return workflow


def span_of(request: Request) -> Any:
    """Make the span of a request, in the caller's trace if there is one; nothing if it exists."""
    if trace.get_current_span().get_span_context().is_valid:
        return nullcontext()
    return tracer.start_as_current_span(
        f"{request.method} {request.scope['route'].path}",
        context=extract(request.headers),
        kind=trace.SpanKind.SERVER,
    )


@app.post("/orders/{order}", status_code=202)
def take(order: int, request: Request) -> dict[str, Any]:
    """Begin to fulfil an order."""
    with span_of(request):
        run = fulfilment(order).start(mode="background")
        return {"workflow_id": str(run.workflow_id), "trace_id": run.trace_id}
