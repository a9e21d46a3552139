"""A real OTLP receiver: HTTP and gRPC, on free ports, decoding what it got."""

from __future__ import annotations

import gzip
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS_METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


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


@dataclass(frozen=True)
class ReceivedRecord:
    body: object
    severity: int
    severity_text: str
    trace_id: str
    span_id: str
    flags: int
    at: int
    attributes: dict
    event_name: str
    scope: str
    resource: dict


class _Gate:
    def __init__(self):
        self.opened = threading.Event()
        self.turns_away = False


class OtlpReceiver:
    """Keeps every span that reaches it; a context manager.

    Attributes:
        is_away: Whether it takes nothing, and says so at once.
        refuses: The name of a span for which it refuses a whole batch, for good.
        takes_metrics: Whether it takes metrics too, and drops them; without, it is as Jaeger.
    """

    takes_metrics = False

    def __enter__(self):
        self._lock = threading.Lock()
        self._spans = []
        self._records = []
        self._gate = _Gate()
        self.clear()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/metrics" and receiver.takes_metrics:
                    return self._end(200)
                is_known = self.path in ("/v1/traces", "/v1/logs")
                is_logs = self.path == "/v1/logs"
                return self._end(receiver._answer(body, is_logs) if is_known else 404)

            def _end(self, status):
                self.send_response(status)
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
        def export(body, context, is_logs=False):
            status = self._answer(body, is_logs)
            if status != 200:
                codes = {400: grpc.StatusCode.INVALID_ARGUMENT}
                context.abort(codes.get(status, grpc.StatusCode.INTERNAL), str(status))
            return ExportTraceServiceResponse().SerializeToString()

        class Handlers(grpc.GenericRpcHandler):
            def service(self, details):
                assert details.method in (METHOD, LOGS_METHOD), details.method
                is_logs = details.method == LOGS_METHOD
                return grpc.unary_unary_rpc_method_handler(partial(export, is_logs=is_logs))

        return Handlers()

    def _answer(self, body, is_logs=False):
        gate = self._gate
        self._came.release()
        gate.opened.wait()
        if self.is_away or gate.turns_away:
            return 404
        if self.refuses is not None and self.refuses.encode() in body:
            return 400
        (self._take_records if is_logs else self._take)(body)
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
        assert self._came.acquire(timeout=60)

    def _take(self, body):
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self._spans.append(_received(span, scope.scope.name, resource.resource))

    def _take_records(self, body):
        request = ExportLogsServiceRequest.FromString(body)
        with self._lock:
            for resource in request.resource_logs:
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        self._records.append(
                            _received_record(record, scope.scope.name, resource.resource)
                        )

    @property
    def records(self):
        with self._lock:
            return list(self._records)

    def wait_for_records(self, count, seconds=60.0):
        """The log records, once there are `count` of them; fewer only after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.records) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.records

    @property
    def spans(self):
        with self._lock:
            return list(self._spans)

    def wait_for(self, count, seconds=60.0):
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
            self._records.clear()


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


def _received_record(record, scope, resource):
    kind = record.body.WhichOneof("value")
    return ReceivedRecord(
        body=getattr(record.body, kind) if kind else None,
        severity=record.severity_number,
        severity_text=record.severity_text,
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        flags=record.flags,
        at=record.time_unix_nano,
        attributes=_values(record.attributes),
        event_name=record.event_name,
        scope=scope,
        resource=_values(resource.attributes),
    )


def _values(pairs):
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found
