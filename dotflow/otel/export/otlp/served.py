"""Endpoints that a program's own exporters serve: ours would send each span there again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dotflow.logging import logger
from dotflow.otel.export.otlp.endpoint import endpoint_name, endpoint_of
from dotflow.process.variables import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.otel.export.otlp.endpoint import OtlpSettings


def is_served(provider: Any, settings: OtlpSettings) -> bool:
    """Whether a provider exports to an endpoint already, by OpenTelemetry's exporters; it is said.

    Args:
        provider: The program's tracer provider.
        settings: What the arguments of ServerOtel say of the endpoint.
    """
    try:
        ours = bare(endpoint_of(settings).url)
        found = any(bare(one) == ours for one in _endpoints(provider))
    except Exception as error:  # noqa: BLE001 - a provider may be anybody's
        logger.debug("What a tracer provider exports to cannot be seen: %r", error)
        return False
    if found:
        warn(
            f"The program's tracer provider exports to the {endpoint_name(settings)} already: "
            "the endpoint given to ServerOtel adds nothing."
        )
    return found


def _endpoints(provider: Any) -> Iterator[str]:
    """The addresses of a provider's exporters, where the SDK keeps them."""
    active = getattr(provider, "_active_span_processor", None)
    for processor in getattr(active, "_span_processors", ()):
        endpoint = getattr(getattr(processor, "span_exporter", None), "_endpoint", None)
        if isinstance(endpoint, str):
            yield endpoint


def bare(url: str) -> str:
    """Host, port and path; the exporters over gRPC keep no scheme."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return f"{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"
