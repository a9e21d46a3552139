"""What we know of each class of OpenTelemetry that we subclass, implement or use.

`KNOWN` has each public member that any release we know has, with its parameters. `MET` says of each
class of ours which members it does not define itself, and why that is right.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    Event,
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import Link
from opentelemetry.trace import Span as ApiSpan

import dotflow.otel
import dotflow.providers

_PROCESSOR = {
    "on_start": "span parent_context",
    "_on_ending": "span",
    "on_end": "span",
    "shutdown": "",
    "force_flush": "timeout_millis",
}
_EXPORTER = {
    "export": "spans",
    "shutdown": "timeout_millis kwargs",
    "force_flush": "timeout_millis",
}
_READ = "attributes context dropped_attributes dropped_events dropped_links end_time events"
_READ += " instrumentation_info instrumentation_scope kind links name parent resource start_time"
_READ += " status"

_PUT_ON = {
    "add_event": "name attributes timestamp",
    "add_link": "context attributes",
    "record_exception": "exception attributes timestamp escaped",
    "set_attribute": "key value",
    "set_attributes": "attributes",
    "set_status": "status description",
    "update_name": "name",
}

KNOWN = {
    Resource: {
        "__init__": "attributes schema_url",
        "attributes": None,
        "create": "attributes schema_url",
        "get_empty": "",
        "merge": "other",
        "schema_url": None,
        "to_json": "indent",
    },
    TracerProvider: {
        "__init__": "sampler resource shutdown_on_exit active_span_processor id_generator"
        " span_limits meter_provider _tracer_configurator",
        "get_tracer": "instrumenting_module_name instrumenting_library_version schema_url"
        " attributes",
        "add_span_processor": "span_processor",
        "force_flush": "timeout_millis",
        "resource": None,
        "shutdown": "",
    },
    SpanProcessor: _PROCESSOR,
    SynchronousMultiSpanProcessor: {
        **_PROCESSOR, "__init__": "", "add_span_processor": "span_processor",
    },
    BatchSpanProcessor: {
        **_PROCESSOR,
        "__init__": "span_exporter max_queue_size schedule_delay_millis max_export_batch_size"
        " export_timeout_millis meter_provider",
        "span_exporter": None,
    },
    SpanExporter: {**_EXPORTER, "shutdown": ""},
    Sampler: {
        "should_sample": "parent_context trace_id name kind attributes links trace_state",
        "get_description": "",
    },
    IdGenerator: {"generate_span_id": "", "generate_trace_id": "", "is_trace_id_random": ""},
    Getter: {"get": "carrier key", "keys": "carrier"},
    ReadableSpan: {
        "__init__": "name context parent resource attributes events links kind instrumentation_info"
        " status start_time end_time instrumentation_scope",
        "get_span_context": "",
        "to_json": "indent",
        **dict.fromkeys(_READ.split()),
    },
    ApiSpan: {**_PUT_ON, "end": "end_time", "is_recording": "", "get_span_context": ""},
    Span: {
        **_PUT_ON,
        "set_status": "args kwargs",
        "update_name": "args kwargs",
        "__init__": "name context parent sampler trace_config resource attributes events links kind"
        " span_processor instrumentation_info record_exception set_status_on_exception limits"
        " instrumentation_scope record_end_metrics",
        "start": "start_time parent_context",
        "end": "end_time",
        "is_recording": "",
        "get_span_context": "",
        "to_json": "indent",
        **dict.fromkeys(_READ.split()),
    },
    Event: {
        "__init__": "name attributes timestamp limit",
        **dict.fromkeys(("name", "attributes", "timestamp", "dropped_attributes")),
    },
    Link: {
        "__init__": "context attributes",
        **dict.fromkeys(("context", "attributes", "dropped_attributes")),
    },
    LoggerProvider: {
        "__init__": "resource shutdown_on_exit multi_log_record_processor meter_provider"
        " log_record_limits _logger_configurator",
        "add_log_record_processor": "log_record_processor",
        "get_logger": "name version schema_url attributes",
        "force_flush": "timeout_millis",
        "resource": None,
        "shutdown": "",
    },
    LogRecordProcessor: {
        "on_emit": "log_record log_data",
        "emit": "log_data",
        "enabled": "context instrumentation_scope severity_number event_name",
        "shutdown": "",
        "force_flush": "timeout_millis",
    },
    MeterProvider: {
        "__init__": "metric_readers resource exemplar_filter shutdown_on_exit views"
        " _meter_configurator",
        "add_metric_reader": "metric_reader",
        "remove_metric_reader": "metric_reader",
        "get_meter": "name version schema_url attributes",
        "force_flush": "timeout_millis",
        "shutdown": "timeout_millis",
    },
    MetricExporter: {
        **_EXPORTER,
        "__init__": "preferred_temporality preferred_aggregation",
        "export": "metrics_data timeout_millis kwargs",
    },
}  # fmt: skip

_OWN_PROVIDER = "the SDK's, on our processor"
_OWN_READER = "the SDK's, on our reader"
_BODY = "the SDK's: that is what it is for"
_AS_IS = "as it was written down"
_OF_LIGHT = "LightSpan has them; nothing else is a Readable"

MET = {
    "own.SpanProcessors": {},
    "own.OwnTracerProvider": dict.fromkeys(
        ("get_tracer", "add_span_processor", "force_flush", "resource", "shutdown"), _OWN_PROVIDER
    ),
    "provider.OwnLoggerProvider": dict.fromkeys(KNOWN[LoggerProvider], _OWN_PROVIDER),
    "own.OwnMeterProvider": dict.fromkeys(KNOWN[MeterProvider], _OWN_READER),
    "processor.OtlpRecords": {"enabled": "whatever is handed on is wanted"},
    "resource._OneHash": dict.fromkeys(KNOWN[Resource], "the SDK's; only its hash is kept"),
    "out.Out": {},
    "named.NamedSpanExporter": {},
    "processor.DotflowSpanProcessor": {"_on_ending": "a report begins or ends, nothing between"},
    "processor.OwnSpanProcessor": {"_on_ending": "as DotflowSpanProcessor"},
    "exporter.DotflowSpanExporter": {},
    "exports.ProcessExporter": {},
    "batch.OtlpProcessor": {},
    "sampling.UuidFairSampler": {},
    "ids.WorkflowIdGenerator": {},
    "ids.PinnedSpanIds": {},
    "begun.NotedSpans": {
        "_on_ending": "a span is noted when it has ended",
        "shutdown": "the step's end hands on what was noted",
        "force_flush": "as shutdown",
    },
    "propagation.EnvironmentGetter": {},
    "origin.EnvironmentGetter": {},
    "light.LightSpan": {},
    "readable.Readable": dict.fromkeys(("__init__", "get_span_context"), _OF_LIGHT),
    "readable._Body": dict.fromkeys(KNOWN[Span].keys(), _BODY),
    "fields.PastSpan": dict.fromkeys(
        [name for name in KNOWN[ReadableSpan] if not name.startswith(("dropped", "__"))], _AS_IS
    ),
    "fields.PastEvent": dict.fromkeys(("name", "attributes", "timestamp"), _AS_IS),
    "fields.PastLink": dict.fromkeys(("context", "attributes"), _AS_IS),
}  # fmt: skip


def members(cls):
    """The members of a class that somebody may call or override, with their parameters.

    A property has none (None). Of the private ones the SDK calls those that begin with `_on_`.
    """
    found = {}
    for name in dir(cls):
        owner = next(one for one in cls.__mro__ if name in vars(one))
        if owner.__module__.partition(".")[0] != "opentelemetry":
            continue
        if name == "__init__" or name.startswith("_on_") or not name.startswith("_"):
            found[name] = parameters(cls, name)
    return found


def parameters(cls, name):
    member = inspect.getattr_static(cls, name)
    if not callable(member):
        return None
    return [one for one in inspect.signature(member).parameters if one != "self"]


def ours():
    """The classes of ours that are classes of OpenTelemetry, each with those."""
    found = {}
    for package in (dotflow.otel, dotflow.providers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for cls in vars(importlib.import_module(module.name)).values():
                if isinstance(cls, type) and cls.__module__ == module.name:
                    found[cls] = _nearest(
                        [one for one in cls.__mro__ if one.__module__.startswith("opentelemetry.")]
                    )
    return {cls: bases for cls, bases in found.items() if bases}


def _nearest(classes):
    """Those that no other of them is derived from: they have the members of the others too."""
    return [
        cls for cls in classes
        if not any(issubclass(one, cls) for one in classes if one is not cls)
    ]  # fmt: skip


def short(cls):
    return f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
