"""An OTLP endpoint: what the arguments of ServerOtel say of it, and what the standard variables."""

from __future__ import annotations

import base64
import math
import os
import re
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from dotflow.process.at_exit import LONGEST_TIMEOUT
from dotflow.process.variables import warn

GRPC, HTTP = "grpc", "http/protobuf"
PATH = "/v1/traces"
DEFAULTS = {HTTP: "http://localhost:4318", GRPC: "http://localhost:4317"}
DEFAULT_TIMEOUT = 10.0  # seconds
VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"

_FOR_TRACES, _FOR_ALL = "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


class Unusable(OSError):
    """No call can be made; the text says why, and names the variable to mend."""


@dataclass(frozen=True)
class OtlpSettings:
    """What the arguments of ServerOtel say of OTLP; what is None the environment says.

    Attributes:
        endpoint: The address; for HTTP with or without the path `/v1/traces`.
        protocol: "http/protobuf" or "grpc".

    Raises:
        ValueError: The protocol is neither, or the address is none.
    """

    endpoint: str | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        if self.protocol not in (None, GRPC, HTTP):
            raise ValueError(f"protocol is {self.protocol!r}: it may be {HTTP!r} or {GRPC!r}")
        if self.endpoint is not None:
            _check(self.endpoint, "endpoint", is_grpc(self))


@dataclass(frozen=True)
class Endpoint:
    """All that an exporter has to know of where spans go.

    Attributes:
        url: The whole address for HTTP; what names the host for gRPC.
        variable: What named the address: a variable, or "endpoint" for the argument.
        headers: Headers to send: they may hold credentials.
        files: Certificate, client certificate and client key, each a path or empty, by variable.
        compression: "none", "gzip" or "deflate".
        has_grpc: Whether it speaks gRPC.
        is_secure: Whether it speaks TLS.
        timeout: Seconds that one export may take.
    """

    url: str
    variable: str
    headers: dict[str, str] = field(repr=False)
    files: dict[str, str]
    compression: str
    has_grpc: bool
    is_secure: bool
    timeout: float

    def read_files(self) -> list[bytes | None]:
        """What is in those files, None where there is none.

        Raises:
            Unusable: One cannot be read.
        """
        return [_read(variable, path) if path else None for variable, path in self.files.items()]


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
    headers = _headers()
    user, has_user, host = parts.netloc.rpartition("@")
    if has_user:
        pair = base64.b64encode(unquote(user).encode()).decode()
        headers.setdefault("authorization", f"Basic {pair}")
    bare = urlunsplit(parts._replace(netloc=host))
    files = (_said("CERTIFICATE"), _said("CLIENT_CERTIFICATE"), _said("CLIENT_KEY"))
    return Endpoint(
        (host or url) if has_grpc else bare, variable, headers,
        {name: path for path, name in files}, _compression(), has_grpc,
        parts.scheme == "https" or (parts.scheme != "http" and not _is_insecure()),
        export_timeout() if timeout is None else timeout,
    )  # fmt: skip


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


def is_named() -> bool:
    """Whether a variable names an endpoint."""
    return bool(_said("ENDPOINT")[0])


def is_grpc(settings: OtlpSettings) -> bool:
    """Whether spans go over gRPC."""
    if settings.protocol is not None:
        return settings.protocol == GRPC
    said, name = _said("PROTOCOL")
    if said not in ("", GRPC, HTTP):
        warn(f"{name} is {said!r}: it may be {HTTP} (and is) or {GRPC}.")
    return said == GRPC


def export_timeout() -> float:
    """Seconds that an export may take: OTEL_EXPORTER_OTLP_TIMEOUT, 10 by default."""
    said, name = _said("TIMEOUT")
    try:
        seconds = float(said or DEFAULT_TIMEOUT)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        warn(f"{name} is {said!r}, which is no number of seconds: it is {DEFAULT_TIMEOUT:g}.")
        return DEFAULT_TIMEOUT
    return min(LONGEST_TIMEOUT, seconds)


def address(settings: OtlpSettings) -> str:
    """The address that spans go to, without what may be a credential: user, password and query."""
    return _shown(_url(settings)[0])


def _read(variable: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise Unusable(f"is not spoken to: {variable} is {path!r}: {why}") from error


def endpoint_name(settings: OtlpSettings) -> str:
    """What people call the endpoint, without credentials."""
    return f"OTLP endpoint {address(settings)}"


def _url(settings: OtlpSettings) -> tuple[str, str]:
    """The address, and what named it."""
    has_grpc = is_grpc(settings)
    if settings.endpoint is not None:
        has_path = has_grpc or urlsplit(settings.endpoint).path not in ("", "/")
        return settings.endpoint if has_path else _with_path(settings.endpoint), "endpoint"
    url, name = _said("ENDPOINT")
    if name == VARIABLE:
        url = url or DEFAULTS[GRPC if has_grpc else HTTP]
        url = url if has_grpc else _with_path(url)
    return url, name


def _with_path(url: str) -> str:
    """The argument, and the variable for all signals, are the beginning of the address."""
    return f"{url.rstrip('/')}{PATH}"


def _shown(url: str) -> str:
    scheme, netloc, path, _, _ = urlsplit(url if "//" in url else f"//{url}")
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", "")).removeprefix("//")


def _check(url: str, name: str, has_grpc: bool) -> None:
    """See that an address is one.

    Raises:
        ValueError: It is none; the text names what to mend.
    """
    try:
        parts = urlsplit(url)
        _, shown = parts.port, _shown(url)
    except ValueError:
        raise ValueError(f"{name} is no address: write http://HOST:PORT") from None
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise ValueError(f"{name} is {shown!r}, which names no host: write http://HOST:PORT")
    elif not has_grpc:
        host = shown.removesuffix(PATH) if "://" not in shown else "HOST:PORT"
        raise ValueError(
            f"{name} is {shown.removesuffix(PATH)!r}, which is no http or https address: "
            f"write http://{host}, or https://{host} where it speaks TLS"
        )
    elif not url:
        raise ValueError(f"{name} is empty: write http://HOST:PORT")


def _said(what: str) -> tuple[str, str]:
    """What the variable for traces says, or else the one for all signals; and its name."""
    for name in (f"{_FOR_TRACES}{what}", f"{_FOR_ALL}{what}"):
        if found := os.environ.get(name, "").strip():
            return found, name
    return "", f"{_FOR_ALL}{what}"


def headers_variable() -> str:
    """The variable that holds the headers."""
    return _said("HEADERS")[1]


def protocol_variable() -> str:
    """The variable that says the protocol."""
    return _said("PROTOCOL")[1]


def _headers() -> dict[str, str]:
    """The headers of the environment; of one that is none only the place is said."""
    said, variable = _said("HEADERS")
    found = {}
    for number, pair in enumerate(said.split(","), 1):
        name, has_value, value = pair.partition("=")
        name, value = unquote(name).strip().lower(), unquote(value).strip()
        if has_value and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            found[name] = value
        elif pair.strip():
            warn(f"{variable}: part {number} is not NAME=VALUE, and is left out.")
    return found


def _compression() -> str:
    said, name = _said("COMPRESSION")
    chosen = said.lower() or "none"
    if chosen not in ("none", "gzip", "deflate"):
        warn(f"{name} is {said!r}: it may be none (and is), gzip or deflate.")
        return "none"
    return chosen


def _is_insecure() -> bool:
    """What is said where the address has no scheme."""
    said, name = _said("INSECURE")
    if said.lower() not in ("", "true", "false"):
        warn(f"{name} is {said!r}: it may be true or false (and is).")
    return said.lower() == "true"
