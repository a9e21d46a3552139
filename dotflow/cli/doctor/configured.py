"""What is configured, where each value comes from, and what of it is wrong."""

from __future__ import annotations

import math
import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.sdk.resources import SERVICE_NAME

from dotflow.cli.doctor import notices
from dotflow.cli.doctor.remedies import Place
from dotflow.delivery.environment import VARIABLES
from dotflow.otel.export.otlp import endpoint as otlp
from dotflow.otel.export.otlp.exports import batch_size, queue_size, schedule_delay
from dotflow.process import variables
from dotflow.process.variables import mended
from dotflow.providers.environment import NOTIFY_ON, ServerChoice
from dotflow.runlog import history
from dotflow.runlog.folder import named_state
from dotflow.settings import START_METHODS
from dotflow.utils.masking import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.cli.doctor.in_force import InForce
    from dotflow.cli.doctor.program import Api, Program
    from dotflow.cli.doctor.report import Report

SECONDS, WHOLE, COUNT = "a number of seconds", "a whole number above 0", "a whole number"

NEAR = 0.92
"""How like another name a name is that was surely meant to be that; 1 is the same."""


class Known(NamedTuple):
    """A variable that says one thing.

    Attributes:
        about: What it is a setting of.
        name: What the setting is called.
        variable: The variable.
        default: The value without it.
        allowed: What it may be: words, or the kind of a number; None for any text.
    """

    about: str
    name: str
    variable: str
    default: str
    allowed: str | Sequence[str] | None = None


KNOWN = (
    Known("runs", "server", "DOTFLOW_SERVER", ServerChoice.AUTO, ServerChoice.ALL),
    Known("runs", "workflow id", "WORKFLOW_ID", "a new one for each workflow"),
    Known("runs", "start method", "DOTFLOW_START_METHOD", START_METHODS[0], START_METHODS),
    Known("runs", "processes", "DOTFLOW_MAX_PROCESSES", "processors, at least 4", WHOLE),
    Known("runs", "output folder", "DOTFLOW_OUTPUT_PATH", ".output"),
    Known("runs", "values of credentials", "DOTFLOW_WHOLE_VALUES", "masked"),
    Known(
        "traces", "continuation", "DOTFLOW_TRACE_CONTINUATION", "continue",
        ("continue", "link", "new"),
    ),
    Known("traces", "markers", "DOTFLOW_TRACE_MARKERS", "off"),
    Known("traces", "tasks in one trace", "DOTFLOW_TRACE_MAX_TASKS", "10000", COUNT),
    Known("records", "seconds for a task number", "DOTFLOW_NEXT_ID_TIMEOUT", "10", SECONDS),
    Known("records", "seconds that a task's span waits", "DOTFLOW_EXPORTER_WAIT", "5", SECONDS),
    Known("notices", "of what", NOTIFY_ON, "failure", ("failure", "always")),
    Known("state", "outbox", "DOTFLOW_OUTBOX", "disk", ("disk", "memory", "network")),
    Known("state", "bytes that may wait", "DOTFLOW_OUTBOX_MAX_BYTES", "1073741824", WHOLE),
    Known("state", "history", history.VARIABLE, "off", history.ALLOWED),
    Known("state", "seconds at exit", "DOTFLOW_FLUSH_TIMEOUT", "5", SECONDS),
)  # fmt: skip

OTHERS = (
    "DOTFLOW_STATE_DIR", "DOTFLOW_STORAGE_KEY", "DOTFLOW_STORAGE_PATH",
    "DOTFLOW_API_TOKEN", "DOTFLOW_TRACE_URL", "DOTFLOW_NOTIFY_URLS",
    # Those that `dotflow cloud lambda` writes into its stack.
    "DOTFLOW_COMMAND", "DOTFLOW_GRACE", "DOTFLOW_PARAMETERS", "DOTFLOW_SECRET",
    "DOTFLOW_SECRET_NAMES",
    *(name for pair in VARIABLES.values() for name in pair),
)  # fmt: skip
"""Variables of ours that are read elsewhere."""


def look(report: Report, program: Program, found: InForce) -> None:
    """Say what is configured, and what of it is wrong."""
    _see_to_variables()
    for known in KNOWN:
        _of_variable(report, known)
    _state(report)
    _spans(report, found)
    for settings in found.settings:
        _endpoint(report, settings)
    for api in program.apis:
        _api(report, api)
    notices.look(report)
    _see_to_names(report)
    _see_to_file(report)


def _see_to_variables() -> None:
    """Have what OpenTelemetry and its exporters read be looked at: what is wrong is told of."""
    with mended(), otlp.as_exporters_read():
        batch_size(), queue_size(), schedule_delay()


def _of_variable(report: Report, known: Known) -> None:
    given = os.environ.get(known.variable, "").strip()
    is_right = not given or _is_allowed(given, known.allowed)
    if not is_right:
        allowed = (
            known.allowed if isinstance(known.allowed, str) else " or ".join(known.allowed or ())
        )
        report.fault(
            "variables", f"{known.variable} is {given[:variables.MOST_SHOWN]!r}, and not {allowed}",
            f"set {known.variable} to {allowed}, or take it away: the value is ignored",
        )  # fmt: skip
    is_set = bool(given) and is_right
    report.set(
        known.about, known.name, given if is_set else known.default,
        "variable" if is_set else "default", known.variable,
    )  # fmt: skip


def _is_allowed(given: str, allowed: str | Sequence[str] | None) -> bool:
    if allowed is None:
        return True
    if allowed == SECONDS:
        try:
            return not math.isnan(float(given)) and float(given) >= 0
        except ValueError:
            return False
    if allowed == history.ALLOWED:
        return history.size_of(given) is not None
    if isinstance(allowed, str):
        return given.isdecimal() and (allowed == COUNT or int(given) > 0)
    return given.lower() in allowed


def _state(report: Report) -> None:
    is_set = bool(os.environ.get("DOTFLOW_STATE_DIR"))
    source = "variable" if is_set else "default"
    report.set("state", "folder", named_state(), source, "DOTFLOW_STATE_DIR")


def _spans(report: Report, found: InForce) -> None:
    for name, variable, default in (
        ("exporters", "OTEL_TRACES_EXPORTER", "otlp where an endpoint is named, else none"),
        ("exporters of metrics", "OTEL_METRICS_EXPORTER", "as for traces"),
        ("exporters of logs", "OTEL_LOGS_EXPORTER", "none"),
        ("sampler", "OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("sampler's argument", "OTEL_TRACES_SAMPLER_ARG", "1.0"),
        ("propagators", "OTEL_PROPAGATORS", "tracecontext,baggage"),
        ("id generator", "OTEL_PYTHON_ID_GENERATOR", "dotflow"),
        ("SDK disabled", "OTEL_SDK_DISABLED", "false"),
    ):
        _of_variable(report, Known("traces", name, variable, default))
    resource = getattr(getattr(found.provider, "resource", None), "attributes", {})
    named = [one for one in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
             if os.environ.get(one)]  # fmt: skip
    for key in sorted(resource):
        if not key.startswith("telemetry."):
            source = "variable" if named and _names(key, named) else "default"
            report.set("resource", key, masked(f"{key}={resource[key]}").partition("=")[2], source,
                       named[0] if source == "variable" else "")  # fmt: skip


def _names(key: str, named: list[str]) -> bool:
    """Whether a variable names an attribute of the resource."""
    if key == SERVICE_NAME and "OTEL_SERVICE_NAME" in named:
        return True
    said = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return key in [pair.partition("=")[0].strip() for pair in said.split(",")]


def _endpoint(report: Report, settings: otlp.OtlpSettings) -> None:
    try:
        found = otlp.endpoint_of(settings)
    except ValueError:  # it is told of where the endpoint is tried
        return
    is_argument = found.variable == "endpoint"
    source = (
        "argument" if is_argument else "variable" if os.environ.get(found.variable) else "default"
    )
    address = otlp.address(settings)
    report.set("traces", "endpoint", address, source, "" if is_argument else found.variable)
    protocol = otlp.GRPC if found.has_grpc else otlp.HTTP
    variable = otlp.protocol_variable()
    if settings.protocol is not None:
        report.set("traces", "protocol", protocol, "argument")
    else:
        _set(report, "protocol", protocol, variable)
    names = ", ".join(sorted(found.headers)) or "none"
    _set(report, "headers (their values are not shown)", names, otlp.headers_variable())
    _set(report, "timeout", f"{found.timeout:g} s", otlp.variable_of("TIMEOUT"))
    _set(report, "compression", otlp.compression(), otlp.variable_of("COMPRESSION"))
    for name, path in found.files.items():
        if path:
            _set(report, name.rpartition("OTLP_")[2].lower().replace("_", " "), path, name)
    _proxy(report, "traces", Place("" if found.has_grpc else found.url, "", ""))


def _set(report: Report, name: str, value: str, variable: str) -> None:
    source = "variable" if os.environ.get(variable, "").strip() else "default"
    report.set("traces", name, value, source, variable)


def _api(report: Report, api: Api) -> None:
    source = "argument" if api.is_given else "variable"
    variable, token = ("", "") if api.is_given else (api.variable, api.token)
    destination = api.destination
    about = f"records ({destination.dialect.value})"
    report.set(about, "address", destination.url, source, variable)
    report.set(about, "token", "set (it is not shown)", source, token)
    _proxy(report, about, Place(destination.url, "", ""))
    if destination.is_plain_and_far:
        report.note(
            f"dotflow-api at {destination.url}", "the token crosses the network in clear text",
            "write https:// in its address",
        )  # fmt: skip


def _proxy(report: Report, about: str, place: Place) -> None:
    if place.proxy:
        report.set(about, "proxy", place.proxy, "variable", _proxy_variable(place.url))


def _proxy_variable(url: str) -> str:
    scheme = url.partition(":")[0]
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), names[1])


def _see_to_names(report: Report) -> None:
    """Say which variables are written wrong: nobody reads them."""
    ours = [*(known.variable for known in KNOWN), *OTHERS]
    theirs = _names_of_opentelemetry()
    for name in sorted(os.environ):
        known = ours if name.startswith("DOTFLOW_") else theirs if name.startswith("OTEL_") else ()
        if name in known:
            continue
        for near in get_close_matches(name, known, 1, NEAR):
            report.fault("variables", f"{name} is set, but nothing reads it", f"write it as {near}")


def _names_of_opentelemetry() -> list[str]:
    from opentelemetry import environment_variables as of_api
    from opentelemetry.sdk import environment_variables as of_sdk

    named = {name for module in (of_api, of_sdk) for name in vars(module)}
    return [name for name in (*named, *variables.INSTALLED) if name.startswith("OTEL_")]


def _see_to_file(report: Report) -> None:
    """Say what is to be known of declarative configuration."""
    name = os.environ.get("OTEL_CONFIG_FILE", "").strip()
    if not name:
        return
    report.set("traces", "configuration file", name, "variable", "OTEL_CONFIG_FILE")
    try:
        Path(name).read_bytes()
    except OSError as error:
        report.fault(
            "variables", f"OTEL_CONFIG_FILE is {name!r}: {error.strerror or 'it cannot be read'}",
            "set OTEL_CONFIG_FILE to a file that is there, or take it away",
        )  # fmt: skip
        return
    report.note(
        "variables",
        "OTEL_CONFIG_FILE says how OpenTelemetry is set up; its other variables are not read",
    )
