"""Tries OTLP endpoints: sends one test span, and of other signals an empty batch."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from dotflow import __version__
from dotflow.cli.doctor import trying
from dotflow.cli.doctor.lines import Kept
from dotflow.cli.doctor.remedies import Place, advice
from dotflow.cli.doctor.trying import Result, Trial
from dotflow.otel.attributes import SCHEMA_URL, SCOPE, SPAN_DOCTOR
from dotflow.otel.export.otlp.endpoint import (
    LOGS,
    METRICS,
    TRACES,
    OtlpSettings,
    endpoint_name,
    endpoint_of,
    headers_variable,
)
from dotflow.otel.export.otlp.exports import OTLP, PROTOCOLS, exporter_of, load_exporter
from dotflow.otel.logs import asked as logs
from dotflow.otel.metrics import provider as metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.cli.doctor.in_force import Export, InForce
    from dotflow.cli.doctor.program import Program
    from dotflow.cli.doctor.report import Report
    from dotflow.otel.export.otlp.endpoint import Endpoint

CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE"


def trials(report: Report, found: InForce, program: Program) -> list[Trial]:
    """How each way that spans leave is tried, as far as it leads to an OTLP endpoint."""
    span = test_span(getattr(found.provider, "resource", None) or Resource.create())
    made = [_trial(report, one, [span]) for one in found.settings]
    theirs = [Trial(one.name, "traces", partial(_exported, one, span)) for one in found.theirs]
    others = [
        _trial(report, one, batch, is_asked_for) for one, batch, is_asked_for in _others(program)
    ]
    return [one for one in (*made, *theirs, *others) if one is not None]


def _others(program: Program) -> Iterator[tuple[OtlpSettings, Any, bool]]:
    """Where metrics and logs go, what is sent there, and whether a person asked for it by name."""
    settings = metrics.settings_of(program.otlp)
    named, is_asked_for = metrics.ways_out(settings)
    for name in named:
        if name in PROTOCOLS:
            settings = OtlpSettings(protocol=PROTOCOLS[name], signal=METRICS)
        if name == OTLP or name in PROTOCOLS:
            yield settings, MetricsData(resource_metrics=[]), is_asked_for
    for name in logs.exporters(program.otlp, program.has_logs):
        if name == OTLP or name in PROTOCOLS:
            protocol = PROTOCOLS.get(name, program.otlp.protocol)
            yield OtlpSettings(program.otlp.endpoint, protocol, LOGS), [], True


def test_span(resource: Resource) -> ReadableSpan:
    """A span that has ended."""
    ids, now = RandomIdGenerator(), time.time_ns()
    context = SpanContext(
        ids.generate_trace_id(), ids.generate_span_id(), False, TraceFlags(TraceFlags.SAMPLED)
    )
    scope = InstrumentationScope(SCOPE, __version__, SCHEMA_URL)
    return ReadableSpan(
        SPAN_DOCTOR,
        context,
        resource=resource,
        instrumentation_scope=scope,
        start_time=now,
        end_time=now,
    )


def _trial(
    report: Report, settings: OtlpSettings, batch: Any, is_asked_for: bool = True
) -> Trial | None:
    kind = settings.signal.name
    try:
        endpoint = endpoint_of(settings)
    except ValueError as error:
        problem, _, remedy = str(error).rpartition(": ")
        report.fault("variables", problem, remedy)
        return None
    load_exporter(settings)  # now, for that is nobody's fault who is tried
    endpoint = endpoint_of(settings, min(trying.SECONDS, endpoint.timeout))
    return Trial(endpoint_name(settings), kind, lambda: _sent(endpoint, batch, is_asked_for))


def _sent(endpoint: Endpoint, batch: Any, is_asked_for: bool) -> Result:
    signal = endpoint.signal
    what = "a test span" if signal is TRACES else f"an empty batch of {signal.what}"
    exporter = exporter_of(endpoint)
    try:
        outcome = exporter.send(batch)
    finally:
        exporter.close()
    date = getattr(exporter, "date", "")
    if outcome is None:
        return Result(problem=f"{what} cannot be encoded", remedy="install dotflow anew", date=date)
    if outcome.is_unknown and not is_asked_for:
        variable = f"OTEL_{signal.name.upper()}_EXPORTER"
        return Result(
            f"it takes no {signal.what}",
            note=f"takes no {signal.what}: if you want none, set {variable}=none", date=date,
        )  # fmt: skip
    if outcome.rejected:
        said = f": {outcome.said}" if outcome.said else ""
        return Result(problem=f"rejects {what}{said}", remedy="see its log for why", date=date)
    if outcome.is_taken:
        return Result(f"it took {what}", date=date)
    return Result(
        problem=getattr(outcome.why, "problem", outcome.why),
        remedy=getattr(outcome.why, "remedy", "") or advice(outcome.why, _place(endpoint)),
        date=date,
    )


def _place(endpoint: Endpoint) -> Place:
    return Place(endpoint.url, endpoint.variable, headers_variable(endpoint.signal), CERTIFICATE)


def _exported(export: Export, span: ReadableSpan) -> Result:
    """Have an exporter of the application's send; what it logs is why it could not."""
    lines = Kept()
    log = logging.getLogger("opentelemetry.exporter.otlp")
    log.addHandler(lines)
    result: Any = SpanExportResult.FAILURE
    try:
        result = export.exporter.export([span])
    except Exception as error:  # noqa: BLE001 - some releases raise what others log
        lines.said.append(f"took no test span: {type(error).__name__}")
    finally:
        log.removeHandler(lines)
    if result is SpanExportResult.SUCCESS:
        return Result("it took a test span")
    why = lines.said[-1] if lines.said else "took no test span"
    return Result(
        problem=why,
        remedy="mend what the application gives this exporter: its endpoint, headers, certificate",
    )
