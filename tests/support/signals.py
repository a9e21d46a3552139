"""A real OTLP receiver of log records and metrics: HTTP and gRPC, on free ports."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

REQUESTS = {
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "traces": ExportTraceServiceRequest,
}


class SignalReceiver:
    """Keeps what reaches it; a context manager.

    Attributes:
        records: The log records.
        points: The data points of counters, each with the name of its counter.
        spans: The spans.
    """

    def __enter__(self):
        self.records, self.points, self.spans = [], [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver.take(self.path.rpartition("/")[2], body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        class Handlers(grpc.GenericRpcHandler):
            def service(self, details):
                kind = next(kind for kind in REQUESTS if kind[:-1] in details.method.lower())

                def export(body, _):
                    receiver.take(kind, body)
                    return b""

                return grpc.unary_unary_rpc_method_handler(export)

        self._http = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="signal-receiver")
        self._grpc = grpc.server(self._pool)
        self._grpc.add_generic_rpc_handlers([Handlers()])
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self.http_url = f"http://127.0.0.1:{self._http.server_port}"
        self.grpc_url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        self._grpc.stop(0).wait()
        self._pool.shutdown()

    def take(self, kind, body):
        request = REQUESTS[kind].FromString(body)
        if kind == "logs":
            for resource in request.resource_logs:
                for scope in resource.scope_logs:
                    self.records += scope.log_records
        elif kind == "traces":
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self.spans += scope.spans
        else:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self.points += [(metric.name, one) for one in metric.sum.data_points]
