"""Metrics of steps on an executor's workers: they leave from there, or come back with outcomes."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dotflow.logging import logger
from dotflow.otel.export.otlp.endpoint import METRICS, OtlpSettings
from dotflow.otel.metrics import provider

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from dotflow.otel.metrics.own import OwnMeterProvider

METRICS_KEY = "dotflow-metrics"
"""Where a carrier says that metrics are wanted, and how sums are; no propagator reads it."""

PROTOCOL = 5
"""What every Python that dotflow runs on can read."""


def for_a_worker(made: OwnMeterProvider | None) -> dict[str, str]:
    """What a worker is told; nothing where nobody here gets what it measures.

    Args:
        made: The meter provider that we made.
    """
    if made is None or made.is_over:
        return {}
    return {METRICS_KEY: json.dumps(made.temporality, separators=(",", ":"))}


class _Measuring:
    """What this process, a worker, measures with."""

    def __init__(self) -> None:
        self._process = 0
        self._reader: Any = None

    def begin(self, carrier: Mapping[str, str], service_name: str, resource: Resource) -> None:
        """See that there is a meter provider, once in each process.

        Args:
            carrier: What the process sent that reports.
            service_name: The name of the service, for a worker whose environment has none.
            resource: What produces what is measured here.
        """
        if METRICS_KEY not in carrier or self._process == os.getpid():
            return
        self._process, self._reader = os.getpid(), None
        found = provider.existing()
        if found is None and provider.ways_out(settings := OtlpSettings(signal=METRICS))[0]:
            found = provider.provider_of(settings, True, service_name)
        if found is None:
            self._measure(json.loads(carrier[METRICS_KEY]), resource)
        elif (own := provider.own(found)) is not None:
            own.use(self)

    def _measure(self, temporality: dict[str, int], resource: Resource) -> None:
        from opentelemetry import metrics
        from opentelemetry.sdk import metrics as sdk
        from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader

        known = {getattr(sdk, name, None): one for name, one in temporality.items()}
        self._reader = InMemoryMetricReader(
            {cls: AggregationTemporality(one) for cls, one in known.items() if cls is not None}
        )
        made = sdk.MeterProvider([self._reader], resource, shutdown_on_exit=False)
        metrics.set_meter_provider(made)

    def gather(self, limit: int) -> str:
        """What was measured here so far, as text; nothing where nothing was, or no room is.

        Args:
            limit: Characters, at most.
        """
        if self._reader is None or self._process != os.getpid():
            return ""
        try:
            found = self._reader.get_metrics_data()
            if found is None:
                return ""
            text = _packed(found)
        except Exception as error:  # noqa: BLE001 - a callback of the program may raise
            logger.debug("Metrics of a step cannot be sent back: %r", error)
            return ""
        if len(text) > limit:
            logger.warning(
                "The metrics of steps are too many to come back with a result, and are left out."
            )
            return ""
        return text


measuring = _Measuring()


class _Pickler(pickle.Pickler):
    """Pickles what the SDK has of metrics: its attributes, which hold a lock, as a dict."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is made again."""
        if isinstance(obj, Mapping) and not isinstance(obj, dict):
            return dict, (dict(obj),)
        return NotImplemented


def _packed(data: Any) -> str:
    buffer = io.BytesIO()
    _Pickler(buffer, PROTOCOL).dump(data)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def unpacked(text: str) -> Any:
    """The metrics that a worker sent.

    Raises:
        Exception: They are another release's.
    """
    # From the worker whose result is unpickled too.
    return pickle.loads(zlib.decompress(base64.b64decode(text)))  # noqa: S301
