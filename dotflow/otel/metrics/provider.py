"""Where metrics go: the application's meter provider, else one by the standard variables."""

from __future__ import annotations

import math
import os
import threading
import weakref
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.environment_variables import OTEL_METRICS_EXPORTER
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED

from dotflow.otel.attributes import SCHEMA_URL, SCOPE
from dotflow.otel.export.otlp.endpoint import METRICS, OtlpSettings, has_path, is_grpc, is_named
from dotflow.otel.export.otlp.exports import OTLP, PROTOCOLS, load_exporter
from dotflow.otel.export.provider import declarative
from dotflow.otel.metrics.tally import Tally
from dotflow.process.variables import mended, mended_for_providers, warn
from dotflow.version import __version__

if TYPE_CHECKING:
    from dotflow.otel.metrics.own import OwnMeterProvider

PROXY = "_ProxyMeterProvider"
"""The API's stand-in for a provider that is not there yet."""

_lock = threading.RLock()  # a signal handler may begin a run while it is held
_tallies: weakref.WeakKeyDictionary[Any, Tally] = weakref.WeakKeyDictionary()
_made: dict[OtlpSettings, OwnMeterProvider] = {}
"""What was made in this process, by what was said."""


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - in a forked child nobody holds it
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def settings_of(otlp: OtlpSettings) -> OtlpSettings:
    """What the arguments of ServerOtel say of metrics.

    An address without a path is that of all signals, as the one of OTEL_EXPORTER_OTLP_ENDPOINT is;
    one with a path is that of traces.
    """
    said = otlp.endpoint
    if said is not None and not is_grpc(otlp) and has_path(said):
        return OtlpSettings(signal=METRICS)
    return OtlpSettings(said, otlp.protocol, METRICS)


def existing() -> Any:
    """The program's meter provider; None where it has none."""
    with mended_for_providers():
        found = metrics.get_meter_provider()
    return None if type(found).__name__ == PROXY else found


def provider_of(settings: OtlpSettings, set_global: bool, service_name: str) -> Any:
    """The program's meter provider, else one that is made where metrics are to leave; else None.

    Args:
        settings: What the arguments say of where they go.
        set_global: Whether one that is made becomes the global one.
        service_name: `service.name` of one that is made, where the environment has none.
    """
    found = existing()
    if found is not None:
        return found
    with _lock:
        made = _made.get(settings) or _make(settings, service_name)
        if made is not None:
            _made[settings] = made
    if made is not None and set_global:
        metrics.set_meter_provider(made)
    return made


def tally_of(provider: Any) -> Tally:
    """What counts for a provider; there is one."""
    with _lock:
        try:
            found = _tallies.get(provider)
        except TypeError:  # one that takes no weak reference: it gets another each time
            return Tally(_meter_of(provider))
        if found is None:
            found = _tallies[provider] = Tally(_meter_of(provider))
        return found


def _meter_of(provider: Any) -> Any:
    return provider.get_meter(SCOPE, __version__, SCHEMA_URL)


def own(provider: Any) -> OwnMeterProvider | None:
    """A provider, if we made it."""
    return provider if provider in _made.values() else None


def names_of_exporters() -> list[str]:
    """What OTEL_METRICS_EXPORTER says."""
    said = os.environ.get(OTEL_METRICS_EXPORTER, "").split(",")
    return [name for one in said if (name := one.strip())]


def ways_out(settings: OtlpSettings) -> tuple[list[str], bool]:
    """The names of the exporters that are on, and whether a person asked for metrics by name.

    Args:
        settings: What the arguments say of where they go.
    """
    is_declared = declarative.is_declared()  # that file decides, and not the variables
    named = [] if is_declared else names_of_exporters()
    is_asked_for = bool(named) or bool(os.environ.get(f"{METRICS.prefix}ENDPOINT", "").strip())
    if not named and (settings.endpoint is not None or (is_named(METRICS) and not is_declared)):
        named = [OTLP]
    is_disabled = os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"
    return [one for one in named if one != "none" and not is_disabled], is_asked_for


def load(settings: OtlpSettings) -> None:
    """Load what measures and exports, if metrics are to leave by OTLP.

    Args:
        settings: What the arguments say of where they go.
    """
    if OTLP in ways_out(settings)[0]:
        with mended():
            from dotflow.otel.metrics import out, own  # noqa: F401
        load_exporter(settings)


def _make(settings: OtlpSettings, service_name: str) -> OwnMeterProvider | None:
    """A provider for all ways out that there are; None where there is none."""
    named, is_asked_for = ways_out(settings)
    if not named:
        return None
    from opentelemetry.sdk.metrics.export import MetricReader

    from dotflow.otel.export.provider.resource import resource_of
    from dotflow.otel.metrics.out import Out
    from dotflow.otel.metrics.own import OwnMeterProvider

    try:
        with mended():
            found = [_way_out(one, settings, is_asked_for) for one in named]
            made = [one for one in found if one is not None]
            if not made:
                return None
            readers = [one if isinstance(one, MetricReader) else _reader_of(one) for one in made]
            outs = [one for one in made if isinstance(one, Out)]
            return OwnMeterProvider(readers, outs, resource_of(service_name))
    except Exception as error:  # noqa: BLE001 - a wrong variable costs metrics, not the rest
        warn(f"There are no metrics: {error}")
        return None


def _reader_of(exporter: Any) -> Any:
    """The SDK's reader for an exporter, without a thread of its own."""
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    return PeriodicExportingMetricReader(exporter, math.inf, math.inf)


def _way_out(name: str, settings: OtlpSettings, is_asked_for: bool) -> Any:
    """The exporter, or the reader, that a name in OTEL_METRICS_EXPORTER stands for."""
    from dotflow.otel.metrics.out import Out

    if name in PROTOCOLS:
        settings = OtlpSettings(protocol=PROTOCOLS[name], signal=METRICS)
    if name == OTLP or name in PROTOCOLS:
        try:
            return Out(settings, is_asked_for)
        except Exception as error:  # noqa: BLE001 - a wrong variable costs this, not the rest
            if is_asked_for:  # else the same is said of spans
                warn(f"Metrics are not exported: {error}")
            return None
    for entry in entry_points(group="opentelemetry_metrics_exporter", name=name):
        return entry.load()()
    warn(f"OTEL_METRICS_EXPORTER names {name!r}, which is not installed: it is ignored.")
    return None
