"""A real OTLP receiver: HTTP and gRPC, on free ports, decoding what it got."""

from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class ReceivedSpan:
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: int
    message: str
    attributes: dict
    events: list
    links: list
    scope: str
    resource: dict

    @property
    def seconds(self):
        return (self.end - self.start) / 1e9


class _Gate:
    def __init__(self):
        self.opened = threading.Event()
        self.turns_away = False


class OtlpReceiver:
    """Keeps every span that reaches it; a context manager.

    Attributes:
        is_away: Whether it takes nothing, and says so at once.
        refuses: The name of a span for which it refuses a whole batch, for good.
    """

    def __enter__(self):
        self._lock = threading.Lock()
        self._spans = []
        self._gate = _Gate()
        self.clear()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                # As Jaeger, it takes spans alone.
                self.send_response(receiver._answer(body) if self.path == "/v1/traces" else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self._http = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="otlp-receiver")
        together = threading.Barrier(4)  # starts every thread now, not within some test
        list(self._pool.map(lambda _: together.wait(), range(4)))
        self._grpc = grpc.server(self._pool)
        self._grpc.add_generic_rpc_handlers([self._handlers()])
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.http_url = f"http://127.0.0.1:{self._http.server_port}"
        self.grpc_url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_):
        self.clear()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._grpc.stop(0).wait()
        self._pool.shutdown()

    def _handlers(self):
        def export(body, context):
            status = self._answer(body)
            if status != 200:
                codes = {400: grpc.StatusCode.INVALID_ARGUMENT}
                context.abort(codes.get(status, grpc.StatusCode.INTERNAL), str(status))
            return ExportTraceServiceResponse().SerializeToString()

        class Handlers(grpc.GenericRpcHandler):
            def service(self, details):
                assert details.method == METHOD
                return grpc.unary_unary_rpc_method_handler(export)

        return Handlers()

    def _answer(self, body):
        gate = self._gate
        self._came.release()
        gate.opened.wait()
        if self.is_away or gate.turns_away:
            return 404
        if self.refuses is not None and self.refuses.encode() in body:
            return 400
        self._take(body)
        return 200

    def hold(self):
        """Answer nobody, until `let_go` or `turn_away`."""
        self._gate = _Gate()

    def let_go(self):
        """Take what those bring who wait, and all who come."""
        self._gate.opened.set()

    def turn_away(self):
        """Take nothing of those who wait, and what all bring who come after them."""
        held, self._gate = self._gate, _Gate()
        self.let_go()
        held.turns_away = True
        held.opened.set()

    def wait_for_request(self):
        """Wait until somebody asks, answered or not."""
        assert self._came.acquire(timeout=30)

    def _take(self, body):
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self._spans.append(_received(span, scope.scope.name, resource.resource))

    @property
    def spans(self):
        with self._lock:
            return list(self._spans)

    def wait_for(self, count, seconds=10.0):
        """The spans, once there are `count` of them; fewer only after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.spans) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.spans

    def clear(self):
        """Begin anew: nothing came, and whatever comes is taken."""
        self.is_away, self.refuses = False, None
        self._came = threading.Semaphore(0)
        self.let_go()
        with self._lock:
            self._spans.clear()


def _received(span, scope, resource):
    return ReceivedSpan(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=span.status.code,
        message=span.status.message,
        attributes=_values(span.attributes),
        events=[(event.name, _values(event.attributes)) for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        scope=scope,
        resource=_values(resource.attributes),
    )


def _values(pairs):
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found
