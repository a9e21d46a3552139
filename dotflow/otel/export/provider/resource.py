"""What produces what the providers that we make send."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.metadata import version

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPERIMENTAL_RESOURCE_DETECTORS,
    OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SERVICE_NAME,
)
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    TELEMETRY_SDK_LANGUAGE,
    TELEMETRY_SDK_NAME,
    TELEMETRY_SDK_VERSION,
    OTELResourceDetector,
    Resource,
)


def resource_of(service_name: str) -> Resource:
    """What produces what a provider of ours sends; of this name where the environment has none."""
    resource = _resource()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service_name}))
    return _OneHash(resource.attributes, resource.schema_url)


class _OneHash(Resource):
    """A resource that computes its hash once: OTLP's encoder asks for it with each span."""

    _hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = super().__hash__()
        return self._hash


def _resource() -> Resource:
    variables = (
        OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, OTEL_EXPERIMENTAL_RESOURCE_DETECTORS
    )  # fmt: skip
    try:
        return _created(os.getpid(), *map(os.environ.get, variables))
    except RuntimeError:  # the interpreter ends: no thread is to be had, in which the SDK looks
        sdk = {
            TELEMETRY_SDK_LANGUAGE: "python", TELEMETRY_SDK_NAME: "opentelemetry",
            TELEMETRY_SDK_VERSION: version("opentelemetry-sdk"), SERVICE_NAME: "unknown_service",
        }  # fmt: skip
        return Resource(sdk).merge(OTELResourceDetector().detect())


@lru_cache(maxsize=4)
def _created(_process: int, *_said: str | None) -> Resource:
    """What the SDK finds, once for all signals: a detector may ask a network."""
    return Resource.create()
