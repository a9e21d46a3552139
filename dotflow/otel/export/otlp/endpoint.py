"""An OTLP endpoint: what the arguments of ServerOtel say of it, and what the standard variables.

OpenTelemetry's exporters read those variables themselves, and speak as they say. What is read here
is for our words alone: which address that is, what named it, and which of it may be a secret.
"""

from __future__ import annotations

import base64
import contextlib
import os
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from opentelemetry.util.re import parse_env_headers

from dotflow.process.at_exit import LONGEST_TIMEOUT
from dotflow.process.variables import mended, warn
from dotflow.utils.patterns import later

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dotflow.process.variables import Checks

GRPC, HTTP = "grpc", "http/protobuf"
DEFAULTS = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}
DEFAULT_TIMEOUT = 10.0  # seconds
PACKINGS = ("none", "gzip", "deflate")
VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"

_FOR_ALL = "OTEL_EXPORTER_OTLP_"
_NAME = later(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = later(r"[\t\x20-\x7e]*")
_ODD = later(r"[\t\";\\]")


class Unusable(OSError):
    """No call can be made; the text says why, and names the variable to mend."""


class Signal(NamedTuple):
    """One of the things that OTLP carries.

    Attributes:
        name: Its name in addresses, and in variables: "traces".
        what: What people call it, in the plural: "spans".
        rejected: The field of an answer that says how many of it were thrown away.
        exporter: Where OpenTelemetry's exporter of it is: module and class.
    """

    name: str
    what: str
    rejected: str
    exporter: tuple[str, str]

    @property
    def path(self) -> str:
        """Its path at an endpoint that speaks HTTP."""
        return f"/v1/{self.name}"

    @property
    def prefix(self) -> str:
        """How the variables begin that are for it alone."""
        return f"{_FOR_ALL}{self.name.upper()}_"

    def exporter_over(self, transport: str) -> Any:
        """OpenTelemetry's exporter of it, over "http" or "grpc"."""
        module, name = self.exporter
        return getattr(
            import_module(f"opentelemetry.exporter.otlp.proto.{transport}.{module}"), name
        )


TRACES = Signal("traces", "spans", "rejected_spans", ("trace_exporter", "OTLPSpanExporter"))
METRICS = Signal(
    "metrics", "metrics", "rejected_data_points", ("metric_exporter", "OTLPMetricExporter")
)
LOGS = Signal("logs", "log records", "rejected_log_records", ("_log_exporter", "OTLPLogExporter"))


@dataclass(frozen=True)
class OtlpSettings:
    """What the arguments of ServerOtel say of OTLP; what is None the environment says.

    Attributes:
        endpoint: The address; for HTTP with or without the path, such as `/v1/traces`.
        protocol: "http/protobuf" or "grpc".
        signal: What goes there.

    Raises:
        ValueError: The protocol is neither, or the address is none.
    """

    endpoint: str | None = None
    protocol: str | None = None
    signal: Signal = TRACES

    def __post_init__(self) -> None:
        if self.protocol not in (None, GRPC, HTTP):
            raise ValueError(f"protocol is {self.protocol!r}: it may be {HTTP!r} or {GRPC!r}")
        if self.endpoint is not None:
            _check(self.endpoint, "endpoint", is_grpc(self))


@dataclass(frozen=True)
class Endpoint:
    """All that there is to say of where spans, or what else OTLP carries, go.

    Attributes:
        signal: What goes there.
        url: The whole address for HTTP; what names the host for gRPC.
        variable: What named the address: a variable, or "endpoint" for the argument.
        given: The address as an argument for the exporter; None if it reads the variable.
        basic: The header that user and password of the address are; empty without them.
        headers: Headers that are sent: they may hold credentials.
        files: Certificate, client certificate and client key, each a path or empty, by variable.
        has_grpc: Whether it speaks gRPC.
        is_secure: Whether it speaks TLS.
        timeout: Seconds that one export may take.
    """

    signal: Signal
    url: str
    variable: str
    given: str | None = field(repr=False)
    basic: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    files: dict[str, str]
    has_grpc: bool
    is_secure: bool
    timeout: float

    def see_files(self) -> None:
        """See that those files are there, where TLS is spoken.

        Raises:
            Unusable: One cannot be read.
        """
        for variable, path in self.files.items():
            if path and self.is_secure:
                _see(variable, path)


def endpoint_of(settings: OtlpSettings, timeout: float | None = None) -> Endpoint:
    """The endpoint that arguments and variables name.

    Args:
        settings: What the arguments say.
        timeout: Seconds for one export; what the environment says without them.

    Raises:
        ValueError: What is named is no address.
    """
    url, variable = _url(settings)
    has_grpc = is_grpc(settings)
    _check(url, variable, has_grpc)
    parts = urlsplit(url)
    user, has_user, host = parts.netloc.rpartition("@")
    basic = f"Basic {base64.b64encode(unquote(user).encode()).decode()}" if has_user else ""
    signal = settings.signal
    headers = {**({"authorization": basic} if basic else {}), **_headers(signal)}
    bare = urlunsplit(parts._replace(netloc=host))
    files = [_said(one, signal) for one in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")]
    return Endpoint(
        signal, (host or url) if has_grpc else bare, variable,
        bare if basic else url if variable == "endpoint" else None, basic, headers,
        {name: path for path, name in files}, has_grpc,
        parts.scheme == "https" or (parts.scheme != "http" and not _is_insecure(signal)),
        export_timeout(signal) if timeout is None else timeout,
    )  # fmt: skip


def as_exporters_read() -> AbstractContextManager[None]:
    """Have the environment hold only what OpenTelemetry's exporters take without a fault."""
    return mended(_CHECKS)


def credentials_of(variables: tuple[str, ...]) -> Any:
    """What the credential provider that a variable names gives; None where none is named.

    Raises:
        Unusable: There is no such provider, or it failed.
    """
    for variable in variables:
        name = os.environ.get(variable)
        if not name:
            continue
        try:
            [found] = entry_points(group="opentelemetry_otlp_credential_provider", name=name)
            return found.load()()
        except Exception as error:
            # Not its text, which may hold a secret.
            why = f"{variable} is {name!r}, which gives no credentials ({type(error).__name__})"
            raise Unusable(f"is not spoken to: {why}") from error
    return None


def is_named(signal: Signal = TRACES) -> bool:
    """Whether a variable names an endpoint."""
    return bool(_said("ENDPOINT", signal)[0])


def is_grpc(settings: OtlpSettings) -> bool:
    """Whether it is spoken to over gRPC."""
    if settings.protocol is not None:
        return settings.protocol == GRPC
    said, name = _said("PROTOCOL", settings.signal)
    if said not in ("", GRPC, HTTP):
        warn(f"{name} is {said!r}: it may be {HTTP} (and is) or {GRPC}.")
    return said == GRPC


def export_timeout(signal: Signal = TRACES) -> float:
    """Seconds that an export may take: OTEL_EXPORTER_OTLP_TIMEOUT, 10 by default."""
    said, name = _said("TIMEOUT", signal)
    return min(LONGEST_TIMEOUT, float(_seconds(name, said) or DEFAULT_TIMEOUT))


def address(settings: OtlpSettings) -> str:
    """The address that spans go to, without what may be a credential: user, password and query."""
    return shown(_url(settings)[0])


def endpoint_name(settings: OtlpSettings) -> str:
    """What people call the endpoint, without credentials."""
    what = f"for {LOGS.name} " if settings.signal == LOGS else ""
    return f"OTLP endpoint {what}{address(settings)}"


def _url(settings: OtlpSettings) -> tuple[str, str]:
    """The address, and what named it."""
    has_grpc, path = is_grpc(settings), settings.signal.path
    if settings.endpoint is not None:
        is_whole = has_grpc or has_path(settings.endpoint)
        return settings.endpoint if is_whole else _with_path(settings.endpoint, path), "endpoint"
    url, name = _said("ENDPOINT", settings.signal)
    if name == VARIABLE:
        url = url or DEFAULTS[GRPC if has_grpc else HTTP]
        url = url if has_grpc else _with_path(url, path)
    return url, name


def has_path(url: str) -> bool:
    """Whether an address has a path, and so is that of one signal."""
    return urlsplit(url).path not in ("", "/")


def _with_path(url: str, path: str) -> str:
    """The argument, and the variable for all signals, are the beginning of the address."""
    return f"{url.rstrip('/')}{path}"


def shown(url: str) -> str:
    """An address without user, password and query."""
    scheme, netloc, path, _, _ = urlsplit(url if "//" in url else f"//{url}")
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", "")).removeprefix("//")


def _check(url: str, name: str, has_grpc: bool) -> None:
    """See that an address is one.

    Raises:
        ValueError: It is none; the text names what to mend.
    """
    try:
        parts = urlsplit(url)
        _, plain = parts.port, shown(url)
    except ValueError:
        raise ValueError(f"{name} is no address: write http://HOST:PORT") from None
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise ValueError(f"{name} is {plain!r}, which names no host: write http://HOST:PORT")
    elif not has_grpc:
        bare = plain
        for one in (TRACES, METRICS, LOGS):
            bare = bare.removesuffix(one.path)
        host = bare if "://" not in bare else "HOST:PORT"
        raise ValueError(
            f"{name} is {bare!r}, which is no http or https address: "
            f"write http://{host}, or https://{host} where it speaks TLS"
        )
    elif not url:
        raise ValueError(f"{name} is empty: write http://HOST:PORT")


def _said(what: str, signal: Signal) -> tuple[str, str]:
    """What the variable for a signal says, or else the one for all signals; and its name."""
    for name in (f"{signal.prefix}{what}", f"{_FOR_ALL}{what}"):
        if found := os.environ.get(name, "").strip():
            return found, name
    return "", f"{_FOR_ALL}{what}"


def headers_variable(signal: Signal = TRACES) -> str:
    """The variable that holds the headers."""
    return _said("HEADERS", signal)[1]


def protocol_variable(signal: Signal = TRACES) -> str:
    """The variable that says the protocol."""
    return _said("PROTOCOL", signal)[1]


def variable_of(what: str, signal: Signal = TRACES) -> str:
    """The variable that says something of the endpoint, as "TIMEOUT"."""
    return _said(what, signal)[1]


def compression(signal: Signal = TRACES) -> str:
    """How batches are packed: "none", "gzip" or "deflate"."""
    said, name = _said("COMPRESSION", signal)
    return (_packing(name, said) or "none").strip().lower()


def _headers(signal: Signal) -> dict[str, str]:
    said, name = _said("HEADERS", signal)
    return dict(parse_env_headers(_pairs(name, said) or "", liberal=True))


def _pairs(variable: str, said: str) -> str | None:
    """Headers as the exporters take them; of one that is none only the place is said."""
    found = []
    for number, pair in enumerate(said.split(","), 1):
        name, has_value, value = pair.partition("=")
        plain = unquote(value).strip()
        if has_value and _NAME.fullmatch(unquote(name).strip().lower()) and _VALUE.fullmatch(plain):
            # They would not take these characters as they are, and log the header for it.
            found.append(f"{name}={quote(plain)}" if _ODD.search(value) else pair)
        elif pair.strip():
            warn(f"{variable}: part {number} is not NAME=VALUE, and is left out.")
    return ",".join(found) or None


def _packing(variable: str, said: str) -> str | None:
    if not said or said.strip().lower() in PACKINGS:
        return said or None
    warn(f"{variable} is {said!r}: it may be none (and is), gzip or deflate.")
    return None


def _seconds(variable: str, said: str) -> str | None:
    with contextlib.suppress(ValueError):
        if not said or float(said) > 0:
            return said or None
    warn(f"{variable} is {said!r}, which is no number of seconds: it is {DEFAULT_TIMEOUT:g}.")
    return None


def _is_insecure(signal: Signal) -> bool:
    """What is said where the address has no scheme."""
    said, name = _said("INSECURE", signal)
    if said.lower() not in ("", "true", "false"):
        warn(f"{name} is {said!r}: it may be true or false (and is).")
    return said.lower() == "true"


def _see(variable: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise Unusable(f"is not spoken to: {variable} is {path!r}: {why}") from error


def _stripped(_: str, said: str) -> str:
    return said.strip()


_CHECKS: Checks = {
    f"{prefix}{what}": check
    for prefix in (_FOR_ALL, TRACES.prefix, METRICS.prefix, LOGS.prefix)
    for what, check in (
        ("HEADERS", _pairs), ("COMPRESSION", _packing), ("TIMEOUT", _seconds),
        *((one, _stripped) for one in (
            "ENDPOINT", "CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY", "INSECURE",
        )),
    )
}  # fmt: skip
"""What the exporters raise for, or say in words of theirs that hold a header; empty ones too, which
some of their releases take for a value."""
