"""OTLP over HTTP: OpenTelemetry's exporter, by a session of ours.

The session bounds each call, and judges its answer, which has to be OTLP's: an endpoint, or a
proxy, that answers without end, drips or lies about its length costs little, and a redirect is an
answer like any other.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from requests.structures import CaseInsensitiveDict

from dotflow.delivery.http.answers import read_body, retry_after
from dotflow.delivery.http.bounds import Call
from dotflow.delivery.http.connections import BoundedAdapter
from dotflow.otel.export.otlp import mistakes
from dotflow.otel.export.otlp.endpoint import Unusable, as_exporters_read, credentials_of
from dotflow.otel.export.otlp.outcome import Outcome, told
from dotflow.otel.export.otlp.quiet import quietly
from dotflow.version import __version__

if TYPE_CHECKING:
    from dotflow.otel.export.otlp.endpoint import Endpoint, Signal

MOST_ANSWER = 2**16
"""Bytes of an answer that are read; also once it is unpacked."""

PROTOBUF = "application/x-protobuf"
AGENT = f"dotflow/{__version__}"

TAKEN, NOT_TAKEN = 200, 400
"""Statuses after which the exporter is done; after others it waits, and tries again itself."""

REFUSED = frozenset({400, 413, 422})
"""Statuses that find fault with a batch, and not with who sends it or where to."""


class HttpExporter:
    """Sends spans, or what else the endpoint is for; called by one thread at a time.

    Args:
        endpoint: Where to.

    Attributes:
        date: What the header of that name says in the last answer.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.timeout = endpoint.timeout
        self._endpoint = endpoint
        self._made: tuple[Any, _Session] | None = None
        self.date = ""

    def made(self) -> Any:
        """OpenTelemetry's exporter, made now where it was not yet.

        Raises:
            Unusable: It cannot be made.
        """
        self._made = self._made or self._make()
        return self._made[0]

    def send(self, batch: Any) -> Outcome | None:
        """Send a batch, within the endpoint's timeout.

        Args:
            batch: What the SDK's exporter takes: a sequence of spans, for traces. None is returned
                if no call was made, for it cannot be encoded.
        """
        try:
            exporter, session = self._made = self._made or self._make()
        except Unusable as error:
            return Outcome(str(error))
        session.outcome = None
        # What cannot be encoded some releases raise, and others log.
        with quietly(), contextlib.suppress(Exception):
            exporter.export(batch)
        self.date = session.date
        return session.outcome

    def let_go(self) -> None:
        """Close a forked child's copies of the parent's sockets, and nothing else."""
        if self._made is not None:
            self._made[1].let_go()

    def close(self) -> None:
        """Close the connection; called by any thread."""
        made, self._made = self._made, None
        if made is not None:
            made[0].shutdown()

    def _make(self) -> tuple[Any, _Session]:
        session = _Session(self._endpoint)
        with as_exporters_read():
            exporter = self._endpoint.signal.exporter_over("http")(
                endpoint=self._endpoint.given, timeout=self.timeout, session=session
            )
        return exporter, session


class _Session(requests.Session):
    """Makes each call of the exporter within bounds, once, and keeps what came of it.

    The calls themselves are made by the session of a credential provider, if there is one.

    Args:
        endpoint: Where to.

    Attributes:
        outcome: What came of the last call.

    Raises:
        Unusable: A file or a credential provider that a variable names is none.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        endpoint.see_files()
        self.headers.clear()  # the exporter's alone are to be sent
        self.outcome: Outcome | None = None
        self.date = ""
        self._endpoint = endpoint
        self._adapter = BoundedAdapter()
        self._is_kept = False
        self._by: Any = _session_that_calls(endpoint.signal)
        for scheme in ("http://", "https://"):
            self._by.mount(scheme, self._adapter)
        # It would look at where a redirect leads, and read all of its body for that.
        self._by.get_redirect_target = lambda _: None
        self._by.auth = self._by.auth or self._authorized

    def request(self, method: Any, url: Any, *_: Any, **options: Any) -> requests.Response:
        """Make a call; the exporter is told no more of it than whether it was a success."""
        seconds = self._endpoint.timeout  # what the exporter says hangs on the wall clock
        is_secure, said = self._endpoint.is_secure, options.get("verify", self.verify)
        options.update(
            headers=self._headers(options.get("headers")), allow_redirects=False, stream=True,
            timeout=seconds,
            # Named for each call, it wins over what the environment names for all of a program.
            verify=said if is_secure and said and isinstance(said, str) else None,
            cert=(options.get("cert") or self.cert) if is_secure else None,
        )  # fmt: skip
        with Call(seconds, MOST_ANSWER, in_all=seconds) as call:
            outcome = self._called(method, url, options, call)
            # A connection that was kept may have ended meanwhile: that is no fault of anybody's.
            if outcome is None:
                outcome = self._called(method, url, options, call)
        self.outcome = outcome or Outcome(mistakes.BROKEN)
        answer = requests.Response()
        answer.status_code = TAKEN if self.outcome.is_taken else NOT_TAKEN
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._by.close()

    def let_go(self) -> None:
        """Close a forked child's copies of the parent's sockets, and nothing else."""
        self._adapter.let_go()

    def _called(self, method: Any, url: Any, options: Any, call: Call) -> Outcome | None:
        """Call once; None if a connection that was kept has ended."""
        was_kept, self._is_kept = self._is_kept, False
        try:
            with self._by.request(method, url, **options) as response:
                outcome = self._outcome(response.raw)
            self._is_kept = True
        except Exception as error:  # noqa: BLE001 - a credential provider may raise anything
            why = mistakes.of_http(error, call, self._endpoint)
            return None if was_kept and why.startswith(mistakes.BROKEN) else Outcome(why)
        return outcome

    def _authorized(self, request: Any) -> Any:
        """Add user and password of the address; where there is this, .netrc is not asked."""
        if self._endpoint.basic:
            request.headers.setdefault("Authorization", self._endpoint.basic)
        return request

    def _headers(self, more: Any) -> CaseInsensitiveDict[str]:
        found = CaseInsensitiveDict({**self.headers, **(more or {})})
        found["Accept-Encoding"] = "identity"
        if "user-agent" not in self._endpoint.headers:
            found["User-Agent"] = f"{AGENT} {found.get('User-Agent', '')}".rstrip()
        return found

    def _outcome(self, response: Any) -> Outcome:
        """What an answer means: only OTLP's own success is one."""
        status, headers = int(response.status), response.headers
        self.date = headers.get("Date", "")
        raw = read_body(response, MOST_ANSWER + 1)
        body = _unpacked(raw, headers.get("Content-Encoding", ""))
        if mistakes.is_about_tls(body or b""):
            return Outcome(mistakes.speaks_tls(self._endpoint))
        if not 200 <= status < 300:  # noqa: PLR2004
            why = mistakes.of_status(status, self._said(status, headers, body), self._endpoint)
            return Outcome(
                why, status in REFUSED, retry_after(headers.get("Retry-After")),
                is_unknown=status in mistakes.UNKNOWN_TO_HTTP,
            )  # fmt: skip
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
    """How much an answer rejects, and its words; None if it is no OTLP answer.

    The answers of all signals have the same fields, which are named by what is rejected.
    """
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
    rejected = next((many for name, many in partial.items() if name.startswith("rejected")), 0)
    return int(rejected), str(partial.get("errorMessage", ""))


def _session_that_calls(signal: Signal) -> Any:
    """The session of the credential provider that a variable names, else a plain one.

    The exporter asks for one that knows how to authenticate only where it is given none.
    """
    variables = tuple(
        f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{one}CREDENTIAL_PROVIDER"
        for one in ("", f"{signal.name.upper()}_")
    )
    session = credentials_of(variables) or requests.Session()
    if not isinstance(session, requests.Session):
        raise Unusable(f"is not spoken to: {variables[0]} gives no requests.Session")
    return session
