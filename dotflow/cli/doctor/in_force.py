"""Which provider, exporters, processors and propagators are in force."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry import propagate, trace

from dotflow.otel.export.leaving.batch import OtlpProcessor
from dotflow.otel.export.otlp.endpoint import (
    GRPC,
    HTTP,
    OtlpSettings,
    endpoint_name,
    endpoint_of,
    is_grpc,
    is_named,
    shown,
)
from dotflow.otel.export.otlp.exports import exports
from dotflow.otel.export.otlp.served import bare
from dotflow.otel.export.provider import declarative
from dotflow.otel.export.provider.own import SpanProcessors, make
from dotflow.otel.logs import asked as logs
from dotflow.otel.metrics import provider as metrics
from dotflow.process.variables import mended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.cli.doctor.program import Program
    from dotflow.cli.doctor.report import Report

_DROPS_ALL = re.compile(
    r"(?:ParentBased\{root:)?(?:AlwaysOffSampler|TraceIdRatioBased\{0(?:\.0+)?\})"
)
_HERE = re.compile(r"\b(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0)(?=[:/]|$)")
_PORTS = re.compile(r":431[78](?=/|$)")


@dataclass(frozen=True)
class Export:
    """A way that spans leave.

    Attributes:
        name: What is said of it.
        address: Where it leads; empty where that is not known.
        exporter: The application's exporter; None of one that dotflow makes.
    """

    name: str
    address: str = ""
    exporter: Any = None

    @property
    def is_otlp(self) -> bool:
        """Whether it is OpenTelemetry's exporter for OTLP, made by an application."""
        return type(self.exporter).__module__.startswith("opentelemetry.exporter.otlp")


@dataclass(frozen=True)
class InForce:
    """What makes spans and sends them.

    Attributes:
        provider: The tracer provider.
        is_own: Whether dotflow makes it.
        settings: The OTLP endpoints that are sent to by the arguments of ServerOtel, or by the
            standard variables.
        exports: All ways that spans leave.
        theirs: Those to OTLP endpoints that an application's code names.
    """

    provider: Any
    is_own: bool
    settings: list[OtlpSettings]
    exports: list[Export]
    theirs: list[Export]


def look(report: Report, program: Program) -> InForce:
    """Find what is in force, and say what of it is wrong."""
    with mended():
        declarative.configure()  # as a run would, where a file says how
        given = program.tracer_provider or trace.get_tracer_provider()
        is_own = isinstance(given, trace.ProxyTracerProvider)
        provider = make(program.otlp, False, program.service_name) if is_own else given
        has_ways = program.otlp.endpoint is not None or (is_own and not declarative.is_declared())
        ways = exports(program.otlp) if has_ways else []
    settings = [one for one in ways if isinstance(one, OtlpSettings)]
    found = [] if is_own else list(_of_application(provider))
    processors = [name for name, _ in found]
    leaves = [export for _, export in found if export is not None]
    known = [(export, _as_variables_say(export)) for export in leaves]
    settings += [same for _, same in known if same is not None]
    theirs = [export for export, same in known if export.is_otlp and same is None]
    served = {_place(one) for one in leaves}
    for one in ways:
        export = _described(one)
        if not is_own and _place(export) in served:  # nothing is added where somebody exports
            settings = [same for same in settings if same is not one]
            continue
        leaves.append(export)
        kind = OtlpProcessor if isinstance(one, OtlpSettings) else None
        processors.append(kind.__name__ if kind is not None else "BatchSpanProcessor")
    whose = "made by dotflow when the first run begins" if is_own else "the application's"
    report.in_force.update(
        {
            "tracer provider": [f"{_class(provider)} ({whose})"],
            "sampler": [_sampler(provider)],
            "id generator": [_class(getattr(provider, "id_generator", None))],
            "span processors": processors,
            "span exporters": [one.name for one in leaves],
            "propagators": _propagators(),
        }
    )
    if is_own and not leaves and is_named():
        report.note(
            "traces", "an endpoint is set, but OTEL_TRACES_EXPORTER keeps spans from leaving"
        )
    _tell_of_other_signals(report, program)
    _see_to_sampler(report, provider)
    _see_to_twins(report, leaves)
    return InForce(provider, is_own, settings, leaves, theirs)


def _tell_of_other_signals(report: Report, program: Program) -> None:
    measured, _ = metrics.ways_out(metrics.settings_of(program.otlp))
    logged = logs.exporters(program.otlp, program.has_logs)
    for what, provider, names in (
        ("meter", metrics.existing(), measured), ("logger", logs.existing(), logged),
    ):  # fmt: skip
        made = "made by dotflow when the first run begins" if names else "none"
        report.in_force[f"{what} provider"] = [made if provider is None else _class(provider)]
    report.in_force["metric exporters"] = measured
    report.in_force["log exporters"] = logged


def _described(one: Any) -> Export:
    """An export that dotflow makes."""
    if not isinstance(one, OtlpSettings):
        return Export(getattr(one, "__name__", str(one)))
    protocol = GRPC if is_grpc(one) else HTTP
    try:
        name = endpoint_name(one)
    except ValueError:
        return Export("OTLP")
    return Export(f"{name} ({protocol})", name.rpartition(" ")[2])


def _of_application(provider: Any) -> Iterator[tuple[str, Export | None]]:
    """The processors of an application's provider, with what exports."""
    several = getattr(provider, "_active_span_processor", None)
    for one in getattr(several, "_span_processors", ()) or (several,):
        if isinstance(one, SpanProcessors) or one is None:
            continue
        batch = getattr(one, "_batch_processor", None)
        exporter = getattr(one, "span_exporter", None) or getattr(batch, "_exporter", None)
        if exporter is None:
            yield _class(one), None
            continue
        address = str(getattr(exporter, "_endpoint", "") or "")
        where = f" to {shown(address)}" if address else ""
        kind = (
            f"{type(exporter).__name__}{' (gRPC)' if '.grpc.' in type(exporter).__module__ else ''}"
        )
        yield _class(one), Export(f"{kind}{where}", shown(address), exporter)


def _as_variables_say(one: Export) -> OtlpSettings | None:
    """What an application's exporter was made by, if that is the standard variables alone."""
    if not one.is_otlp:
        return None
    protocol = GRPC if ".grpc." in type(one.exporter).__module__ else HTTP
    said = OtlpSettings()
    settings = said if is_grpc(said) == (protocol == GRPC) else OtlpSettings(protocol=protocol)
    try:
        ours = endpoint_of(settings)
    except ValueError:
        return None
    headers = {name.lower() for name in dict(getattr(one.exporter, "_headers", None) or ())}
    is_same = bare(ours.url) == bare(one.address) and headers - {"user-agent"} == {*ours.headers}
    return settings if is_same else None


def _class(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}" if value is not None else "none"


def _sampler(provider: Any) -> str:
    sampler = getattr(provider, "sampler", None)
    return "not known" if sampler is None else str(sampler.get_description())


def _propagators() -> list[str]:
    with mended():
        found = propagate.get_global_textmap()
    return [type(one).__name__ for one in getattr(found, "_propagators", [found])]


def _see_to_sampler(report: Report, provider: Any) -> None:
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        report.fault(
            "spans", "OTEL_SDK_DISABLED is true: no span is made",
            "take OTEL_SDK_DISABLED away, or set it to false",
        )  # fmt: skip
    if _DROPS_ALL.match(_sampler(provider)):
        report.fault(
            "spans", f"the sampler drops all that begins here ({_sampler(provider)})",
            "set OTEL_TRACES_SAMPLER to parentbased_always_on, or OTEL_TRACES_SAMPLER_ARG to a "
            "ratio above 0; if the application makes the provider, change its sampler",
        )  # fmt: skip


def _see_to_twins(report: Report, leaves: list[Export]) -> None:
    """Say where two exporters lead to the same place."""
    known: dict[str, Export] = {}
    for one in leaves:
        place = _place(one)
        other = known.setdefault(place, one)
        if other is not one:
            report.fault(
                one.address or one.name,
                f"two exporters lead there, so every span arrives twice: {other.name}, and "
                f"{one.name}",
                "leave one of them out: in OTEL_TRACES_EXPORTER, in the application's provider, or "
                "in ServerOtel(endpoint=...)",
            )


def _place(one: Export) -> str:
    """What two exporters have in common that lead to the same place."""
    if not one.address:
        return one.name
    parts = urlsplit(one.address if "//" in one.address else f"//{one.address}")
    host = _HERE.sub("localhost", parts.netloc.lower())
    # The two ports of a Collector.
    return _PORTS.sub(":collector", host)
