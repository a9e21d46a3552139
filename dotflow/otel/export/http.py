"""OTLP over HTTP: each call is bounded, goes where it should, and its answer has to be OTLP's.

It speaks through the connections of dotflow.delivery: an endpoint, or a proxy, that answers without
end, drips or lies about its length costs little, and a redirect is an answer like any other.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from urllib3.exceptions import HTTPError

from dotflow import __version__
from dotflow.delivery.answers import read_body, retry_after
from dotflow.delivery.connections import BoundedAdapter, Call, Connections
from dotflow.otel.export import mistakes
from dotflow.otel.export.endpoint import Unusable, credentials_of
from dotflow.otel.export.outcome import Outcome, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.otel.export.endpoint import Endpoint

MOST_ANSWER = 2**16
"""Bytes of an answer that are read; also once it is unpacked."""

PROTOBUF = "application/x-protobuf"
AGENT = f"dotflow/{__version__}"

REFUSED = frozenset({400, 413, 422})
"""Statuses that find fault with a batch, and not with who sends it or where to."""

PROVIDERS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
"""Variables that name who makes a session which knows how to authenticate."""


class HttpExporter:
    """Sends encoded spans; called by one thread.

    Args:
        endpoint: Where to.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.timeout = endpoint.timeout
        self._endpoint = endpoint
        self._connections: Connections | _Authenticated | None = None
        self._is_kept = False

    def send(self, body: bytes) -> Outcome:
        """Send a batch, within the endpoint's timeout.

        Args:
            body: An encoded `ExportTraceServiceRequest`.
        """
        seconds = self.timeout
        packed = _PACKED[self._endpoint.compression](body)
        with Call(seconds, MOST_ANSWER, in_all=seconds) as call:
            outcome = self._send(packed, call)
            # A connection that was kept may have ended meanwhile: that is no fault of anybody's.
            if outcome is None:
                outcome = self._send(packed, call)
        return outcome or Outcome(mistakes.BROKEN)

    def let_go(self) -> None:
        """Close a forked child's copies of the parent's sockets, and nothing else."""
        if self._connections is not None:
            self._connections.let_go()

    def close(self) -> None:
        """Close the connection; called by any thread."""
        if self._connections is not None:
            self._connections.close()

    def _send(self, body: bytes, call: Call) -> Outcome | None:
        """Send once; None if a connection that was kept has ended."""
        was_kept, self._is_kept = self._is_kept, False
        try:
            if self._connections is None:
                self._connections = self._connected()
            with self._connections.call(
                "POST", "", body, self._headers(), self.timeout
            ) as response:
                outcome = self._outcome(response)
            self._is_kept = True
        except (OSError, HTTPError, HTTPException, ValueError, LookupError) as error:
            why = mistakes.of_http(error, call, self._endpoint)
            return None if was_kept and why.startswith(mistakes.BROKEN) else Outcome(why)
        return outcome

    def _connected(self) -> Connections | _Authenticated:
        verify = cert = None
        if self._endpoint.is_secure:
            self._endpoint.read_files()  # what cannot be read is said with its variable
            verify, client, key = (path or None for path in self._endpoint.files.values())
            cert = (client, key) if client and key else client
        session = _session()
        if session is not None:
            return _Authenticated(session, self._endpoint.url, verify, cert)
        return Connections(self._endpoint.url, verify, cert)

    def _headers(self) -> dict[str, str]:
        packing = self._endpoint.compression
        return {
            "user-agent": AGENT,
            **self._endpoint.headers,
            "content-type": PROTOBUF,
            "accept-encoding": "identity",
            **({} if packing == "none" else {"content-encoding": packing}),
        }

    def _outcome(self, response: Any) -> Outcome:
        """What an answer means: only OTLP's own success is one."""
        status, headers = int(response.status), response.headers
        raw = read_body(response, MOST_ANSWER + 1)
        body = _unpacked(raw, headers.get("Content-Encoding", ""))
        if mistakes.is_about_tls(body or b""):
            return Outcome(mistakes.speaks_tls(self._endpoint))
        if not 200 <= status < 300:  # noqa: PLR2004
            why = mistakes.of_status(status, self._said(status, headers, body), self._endpoint)
            return Outcome(why, status in REFUSED, retry_after(headers.get("Retry-After")))
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        found = None if body is None else _read(body, kind)
        if found is None:
            return Outcome(mistakes.of_a_stranger(status, kind, self._endpoint))
        return Outcome(rejected=found[0], said=self._told(found[1]))

    def _said(self, status: int, headers: Any, body: bytes | None) -> str:
        """What an answer that is no success says, in its own words."""
        if 300 <= status < 400:  # noqa: PLR2004
            with contextlib.suppress(ValueError):
                to = urlsplit(headers.get("Location", ""))
                where = to._replace(netloc=to.netloc.rpartition("@")[2], query="", fragment="")
                return self._told(where.geturl())
            return ""
        kind = headers.get("Content-Type", "").lower()
        # Of protobuf it would be a Status, whose texts are between lengths and numbers.
        text = (body or b"").decode("utf-8", "replace")
        return "" if "html" in kind or text.lstrip().startswith("<") else self._told(text)

    def _told(self, text: str) -> str:
        return told(text, self._endpoint.headers.values())


class _Authenticated:
    """Calls by the session that a credential provider made, within the same bounds.

    Args:
        session: The session.
        url: The address.
        verify: The file of a CA bundle; without one what the environment says.
        cert: The file of a client's certificate, or those of it and of its key.
    """

    def __init__(self, session: requests.Session, url: str, verify: str | None, cert: Any) -> None:
        self._session, self._url = session, url
        self._adapter = BoundedAdapter()
        session.mount("http://", self._adapter)
        session.mount("https://", self._adapter)
        session.verify = verify or session.verify
        session.cert = cert or session.cert

    @contextlib.contextmanager
    def call(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Iterator[Any]:
        """Make a call, as `Connections` does; the session adds what shows who calls."""
        response = self._session.request(
            method, self._url + path, data=body, headers=headers, timeout=seconds,
            allow_redirects=False, stream=True,
        )  # fmt: skip
        with response:
            yield response.raw

    def close(self) -> None:
        """Close all connections at once."""
        self._adapter.close()

    def let_go(self) -> None:
        """Close a forked child's copies of the parent's sockets, and nothing else."""
        self._adapter.let_go()


_PACKED: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def _unpacked(raw: bytes, packing: str) -> bytes | None:
    """A body as it was before it was packed; None if it is too long, or is not all there."""
    if len(raw) > MOST_ANSWER:
        return None
    if packing.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return raw
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # it sees itself which of them it is
    try:
        body = unpacker.decompress(raw, MOST_ANSWER + 1)
    except zlib.error:
        return None
    return body if unpacker.eof and len(body) <= MOST_ANSWER else None


def _read(body: bytes, kind: str) -> tuple[int, str] | None:
    """The spans that an answer rejects, and its words; None if it is no OTLP answer."""
    if not body:
        return 0, ""
    try:
        if kind == "application/json":
            return _read_json(json.loads(body))
        if kind not in (PROTOBUF, "application/protobuf", "application/octet-stream", ""):
            return None
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except Exception:  # noqa: BLE001 - protobuf has errors of its own
        return None
    return partial.rejected_spans, partial.error_message


def _read_json(said: Any) -> tuple[int, str] | None:
    """The same of JSON, which some answer with whatever they are asked in."""
    if not isinstance(said, dict) or not said.keys() <= {"partialSuccess"}:
        return None
    partial = said.get("partialSuccess") or {}
    return int(partial.get("rejectedSpans", 0)), str(partial.get("errorMessage", ""))


def _session() -> requests.Session | None:
    """The session of the credential provider that a variable names; None where none does."""
    session = credentials_of(PROVIDERS)
    if session is not None and not isinstance(session, requests.Session):
        raise Unusable(f"is not spoken to: {PROVIDERS[0]} gives no requests.Session")
    return session
