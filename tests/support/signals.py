"""A real OTLP receiver of log records and metrics: HTTP and gRPC, on free ports."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
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
        measured: All metrics, each with the attributes of its resource.
        spans: The spans.
        calls: How often it was called, by signal.
        refuses: The signals that it does not know.
    """

    def clear(self):
        """Begin anew: nothing came, and whatever comes is taken."""
        self.records, self.points, self.spans, self.measured = [], [], [], []
        self.calls, self.refuses = Counter(), set()

    def __enter__(self):
        self.clear()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                kind = self.path.rpartition("/")[2]
                receiver.calls[kind] += 1
                if kind not in receiver.refuses:
                    receiver.take(kind, body)
                self.send_response(404 if kind in receiver.refuses else 200)
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

                def export(body, context):
                    receiver.calls[kind] += 1
                    if kind in receiver.refuses:
                        context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service")
                    receiver.take(kind, body)
                    return b""

                return grpc.unary_unary_rpc_method_handler(export)

        self._http = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="signal-receiver")
        together = threading.Barrier(4)  # starts every thread now, not within some test
        list(self._pool.map(lambda _: together.wait(), range(4)))
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
                said = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        self.measured.append((said, metric))
                        self.points += [(metric.name, one) for one in metric.sum.data_points]

    def last(self, name, instance=None):
        """The points of a metric as they came last, of one process where it is named."""
        found = [
            metric for said, metric in self.measured
            if metric.name == name and instance in (None, said.get("service.instance.id"))
        ]  # fmt: skip
        return list(getattr(found[-1], found[-1].WhichOneof("data")).data_points) if found else []

    def count(self, name):
        """How many values all processes have in a histogram: each says it from its beginning."""
        last = {str(said): metric for said, metric in self.measured if metric.name == name}
        return sum(point.count for one in last.values() for point in one.histogram.data_points)


def said(point):
    """The attributes of a point."""
    return {one.key: one.value.string_value for one in point.attributes}
