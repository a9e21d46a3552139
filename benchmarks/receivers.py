"""An OTLP endpoint and a dotflow-api that take everything: small, on threads, one port.

    python receivers.py                prints its address, and serves until it is killed

`/v1/traces` takes spans, `/v1/metrics` and `/v1/logs` take whatever comes. `/20/bulk/...` is a
dotflow-api that answers after 20 ms and says that it takes bulks, `/20/single/...` one that does
not; `/hangs/...` never answers. `GET /_stats` says what has arrived since the last `GET /_reset`.
Spans are decoded only when somebody asks for the stats: what the receiver computes in a run would
be taken from the run.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from typing import Any

BULK = 500
"""How many calls the bulk of this dotflow-api takes."""

HOUR = 3600.0  # seconds
ENDS = ("Completed", "Failed")
PART_OF_ID = "~"
TASK = re.compile(r"/workflows/([^/]+)/tasks/([^/]+)$")
TASKS = re.compile(r"/workflows/([^/]+)/tasks$")
BY_SERVER_ID = re.compile(r"/tasks/([^/]+)$")


class Arrived:
    """What has arrived, counted once however often it was sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._bodies: list[tuple[bytes, bool]] = []
            self._spans: set[bytes] = set()
            self._posted: set[str] = set()
            self._ended: set[str] = set()
            self._requests = 0

    def take_spans(self, body: bytes, is_packed: bool) -> None:
        with self._lock:
            self._bodies.append((body, is_packed))

    def take_call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Do what a call says; the status and the body of the answer."""
        record = _record(method, path, body)
        with self._lock:
            self._requests += 1
            if PART_OF_ID in record:
                if method == "POST":
                    self._posted.add(record)
                if body.get("status") in ENDS:
                    self._ended.add(record)
        return (201 if method == "POST" else 200), {"id": record}

    def stats(self) -> dict[str, int]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        with self._lock:
            bodies, self._bodies = self._bodies, []
            for body, is_packed in bodies:
                text = gzip.decompress(body) if is_packed else body
                request = ExportTraceServiceRequest.FromString(text)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        self._spans.update(span.span_id for span in scope.spans)
            return {
                "spans": len(self._spans),
                "posted": len(self._posted),
                "ended": len(self._ended),
                "requests": self._requests,
            }


def _record(method: str, path: str, body: Any) -> str:
    """The name of the record that a call is about; a task's has the workflow's before it."""
    if found := TASK.search(path):
        return PART_OF_ID.join(found.groups())
    if method == "POST" and (found := TASKS.search(path)):
        return f"{found[1]}{PART_OF_ID}{body['id']}"
    if found := BY_SERVER_ID.search(path):
        return found[1]
    return str(body["id"]) if method == "POST" else path.rpartition("/")[2]


class Connection:
    """One connection of a client, served by one thread until the client leaves."""

    def __init__(self, connection: socket.socket, arrived: Arrived) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")
        self._arrived = arrived

    def serve(self) -> None:
        try:
            while self._serve_one():
                pass
        except OSError:
            pass  # the client ended in the middle of a request
        finally:
            self._file.close()
            self._socket.close()

    def _serve_one(self) -> bool:
        line = self._file.readline().split()
        if len(line) != 3:
            return False
        headers: dict[bytes, bytes] = {}
        while name_and_value := self._file.readline().strip():
            name, _, value = name_and_value.partition(b":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get(b"content-length", 0))
        body = self._file.read(length)
        if len(body) < length:  # the client ended in the middle of the request
            return False
        is_packed = headers.get(b"content-encoding") == b"gzip"
        self._answer(*self._do(line[0].decode(), line[1].decode(), body, is_packed))
        return True

    def _do(self, method: str, path: str, body: bytes, is_packed: bool) -> tuple[int, Any, bool]:
        """Take a request; the status, the body, and whether to say that bulks are taken."""
        if path == "/v1/traces":
            self._arrived.take_spans(body, is_packed)
            return 200, None, False
        if path in ("/v1/metrics", "/v1/logs"):
            return 200, None, False
        if path == "/_stats":
            return 200, self._arrived.stats(), False
        if path == "/_reset":
            self._arrived.reset()
            return 200, None, False
        _, wait, *rest = path.split("/")
        if wait == "hangs":
            time.sleep(HOUR)
        status, answer = self._do_call(method, path, json.loads(body) if body else {})
        time.sleep(float(wait) / 1000)
        return status, answer, rest[0] == "bulk"

    def _do_call(self, method: str, path: str, said: Any) -> tuple[int, Any]:
        if path.endswith("/bulk/bulk"):
            return 200, {"items": [self._item(one) for one in said["items"]]}
        if path.endswith("/tasks/next-id"):
            return 200, {"next_id": 1}
        return self._arrived.take_call(method, path, said)

    def _item(self, item: dict[str, Any]) -> dict[str, Any]:
        body = json.loads(item["body"]) if isinstance(item["body"], str) else item["body"]
        status, answer = self._arrived.take_call(item["method"], item["path"], body)
        return {"status": status, "body": answer}

    def _answer(self, status: int, body: Any, takes_bulks: bool) -> None:
        text = b"" if body is None else json.dumps(body).encode()
        more = f"Dotflow-Bulk: {BULK}\r\n" if takes_bulks else ""
        head = (
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(text)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + text)


def accept(listener: socket.socket) -> None:
    """Serve every client in a thread of its own, for ever."""
    arrived = Arrived()
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Connection(connection, arrived).serve, daemon=True).start()


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        accept(listener)


if __name__ == "__main__":
    main()
