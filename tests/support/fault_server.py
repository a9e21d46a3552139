"""A small dotflow-api on a real socket that can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    import ssl

TOKEN = "s3cr3t-t0ken"


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def body(self) -> Any:
        return strict_loads(self.raw) if self.raw else None

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")


def strict_loads(text: bytes | str) -> Any:
    """What a parser says that takes no NaN, no twin keys and no broken UTF-8."""

    def refuse(name):
        raise ValueError(f"not JSON: {name}")

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs), f"a key twice: {pairs}"
        return dict(pairs)

    if isinstance(text, bytes):
        text = text.decode("utf-8", "strict")
    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


Fault = Callable[["Handler", Seen], None]


def status(code: int, body: Any = None, effect: bool = False, **headers: str) -> Fault:
    """Answer so; with `effect` only after the request was taken all the same."""

    def fault(handler, seen):
        if effect:
            handler.server.api.apply(seen)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer(code, {} if body is None else body, named)

    return fault


def reset(effect: bool = False) -> Fault:
    """Break off the connection; with `effect` after the request was taken."""

    def fault(handler, seen):
        if effect:
            handler.server.api.apply(seen)
        handler.close_connection = True
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()

    return fault


def hang(handler: Handler, seen: Seen) -> None:
    """Never answer."""
    handler.close_connection = True
    handler.server.stopped.wait()


def trickle(handler: Handler, seen: Seen) -> None:
    """Answer byte by byte, without end."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not handler.server.stopped.wait(0.02):
        handler.wfile.write(b" ")


def garbage(handler: Handler, seen: Seen) -> None:
    """Say something that is no HTTP."""
    handler.close_connection = True
    handler.wfile.write(b"\x00\x01 what?\r\n\r\n")


def huge(handler: Handler, seen: Seen) -> None:
    """Take the request, and answer with 30 MB."""
    handler.server.api.apply(seen)
    handler.answer(201, {"id": "x" * 30_000_000}, {})


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.number = self.server.api.connected(self.connection)

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        raw = self.rfile.read(length)
        seen = Seen(self.command, self.path, headers, raw, self.number)
        api = self.server.api
        fault = api.note(seen)
        try:
            if fault is not None:
                fault(self, seen)
            else:
                if api.latency:
                    time.sleep(api.latency)
                self.answer(*api.apply(seen), {})
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = serve  # noqa: N815 - http.server's names

    def answer(self, code, body, headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {**self.server.api.offer, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def finish_request(self, request, client_address):
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request, client_address):
        pass


class FaultServer:
    """Records what comes, keeps workflows and tasks as dotflow-api does, fails where told to."""

    def __init__(self, strict: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.strict = strict
        self.latency = 0.0
        self.bulk = 0
        self.items: list[Seen] = []
        self.seen: list[Seen] = []
        self.workflows: dict[str, dict] = {}
        self.tasks: dict[tuple[str, int], dict] = {}
        self.history: dict[str, list[str]] = {}
        self._server_ids: dict[str, tuple[str, int]] = {}
        self._answers: dict[str, tuple[int, Any]] = {}
        self._rules: list[list] = []
        self._item_rules: list[list] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.RLock()
        self._http = _Http(("127.0.0.1", 0), Handler)
        self._http.api = self
        self._http.tls = tls
        self._http.stopped = threading.Event()
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        scheme = "http" if self._http.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._http.server_address[1]}"

    def on(self, pattern: str, fault: Fault, times: int | None = None) -> None:
        """Have requests whose "METHOD /path" matches fail so, as often as said."""
        with self._lock:
            self._rules.append([re.compile(pattern), fault, times])

    def on_item(self, pattern: str, code: int, times: int | None = None, **more: Any) -> None:
        """Have items of bulks whose "METHOD /path" matches be answered so, without effect."""
        with self._lock:
            self._item_rules.append([re.compile(pattern), code, times, more])

    def well(self) -> None:
        """Fail no more."""
        with self._lock:
            self._rules.clear()
            self._item_rules.clear()

    @property
    def offer(self) -> dict[str, str]:
        """The header that says how many items a bulk may have; none if bulks are not taken."""
        return {"Dotflow-Bulk": str(self.bulk)} if self.bulk else {}

    def bulks(self) -> list[list[str]]:
        """The lines of each bulk that came, in order."""
        with self._lock:
            found = [one.body["items"] for one in self.seen if one.path == "/bulk"]
        return [[f"{one['method']} {one['path']}" for one in items] for items in found]

    def lines(self) -> list[str]:
        with self._lock:
            return [one.line for one in self.seen]

    def wait_for(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Wait until something is so, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s; seen: {self.lines()}"
            time.sleep(0.005)
        return found

    def connected(self, connection: socket.socket) -> int:
        with self._lock:
            self._sockets.append(connection)
            return len(self._sockets)

    @property
    def connections(self) -> int:
        return len(self._sockets)

    @property
    def open_connections(self) -> int:
        return sum(one.fileno() >= 0 for one in self._sockets)

    def drop_idle(self) -> None:
        """Close the connections as a server does that has waited long enough."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def note(self, seen: Seen) -> Fault | None:
        with self._lock:
            self.seen.append(seen)
            for rule in self._rules:
                if rule[2] != 0 and rule[0].search(seen.line):
                    if rule[2] is not None:
                        rule[2] -= 1
                    return rule[1]
        return None

    def apply(self, seen: Seen) -> tuple[int, Any]:
        """Do what a request asks; a repeat is answered as it was before."""
        with self._lock:
            known = self._answers.get(seen.key or "")
            if known is None:
                known = self._apply(seen)
                if seen.key is not None and known[0] < 300:
                    self._answers[seen.key] = known
            return known

    def _apply_bulk(self, seen: Seen) -> tuple[int, Any]:
        """Answer each item; after one that was not taken, no more of its record."""
        items = seen.body["items"]
        if len(items) > self.bulk:
            return 413, {"detail": "too many items"}
        stopped: set[Any] = set()
        return 200, {"items": [self._apply_item(item, seen, stopped) for item in items]}

    def _apply_item(self, item: dict[str, Any], seen: Seen, stopped: set[Any]) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in item["headers"].items()}
        headers["idempotency-key"] = item["idempotency_key"]
        raw = json.dumps(item["body"]).encode()
        one = Seen(item["method"], item["path"], headers, raw, seen.connection)
        self.items.append(one)
        workflow, task = _record_of(one)
        if workflow in stopped or (workflow, task) in stopped:
            return {"status": 424, "body": {"detail": "one before it was not taken"}}
        code, body, more = self._answer_to_item(one)
        if code >= 300 and not (code == 409 and one.method == "POST"):
            is_all = task is None and (one.method == "POST" or code == 404)
            stopped.add(workflow if is_all else (workflow, task))
        return {"status": code, "body": body, **more}

    def _answer_to_item(self, one: Seen) -> tuple[int, Any, dict[str, Any]]:
        for rule in self._item_rules:
            if rule[2] != 0 and rule[0].search(one.line):
                if rule[2] is not None:
                    rule[2] -= 1
                return rule[1], {"detail": "as told"}, rule[3]
        return *self.apply(one), {}

    def _apply(self, seen: Seen) -> tuple[int, Any]:  # noqa: PLR0911 - one a route
        parts = [unquote(one) for one in seen.path.strip("/").split("/")]
        match seen.method, parts:
            case "GET", ["workflows", wid, "tasks", "next-id"]:
                used = [tid for owner, tid in self.tasks if owner == wid]
                return 200, {"next_id": max(used, default=0) + 1}
            case "POST", ["bulk"] if self.bulk:
                return self._apply_bulk(seen)
            case "POST", ["workflows"]:
                return self._create(self.workflows, seen.body["id"], seen, seen.body["id"])
            case "PATCH", ["workflows", wid]:
                return self._change(self.workflows, wid, seen, wid)
            case "DELETE", ["workflows", wid]:
                return (
                    (200, {}) if self.workflows.pop(wid, None) else (404, {"detail": "not known"})
                )
            case "POST", ["workflows", wid, "tasks"]:
                if self.strict and wid not in self.workflows:
                    return 404, {"detail": "no such workflow"}
                key = (wid, seen.body["id"])
                known = (name for name, owner in self._server_ids.items() if owner == key)
                server_id = next(known, f"srv-{len(self._server_ids) + 1}")
                self._server_ids[server_id] = key
                return self._create(self.tasks, key, seen, server_id)
            case "PATCH", ["tasks", server_id]:
                return self._change(self.tasks, self._server_ids.get(server_id), seen, server_id)
            case "PATCH", ["workflows", wid, "tasks", tid]:
                return self._change(self.tasks, (wid, int(tid)), seen, tid)
        return 404, {"detail": "no such route"}

    def _create(self, table, key, seen, server_id) -> tuple[int, Any]:
        if key in table:
            return 409, {"detail": "exists", "id": server_id}
        table[key] = dict(seen.body)
        self._remember(key, seen)
        return 201, {"id": server_id}

    def _change(self, table, key, seen, server_id) -> tuple[int, Any]:
        if key not in table:
            if self.strict:
                return 404, {"detail": "no such record"}
            table[key] = {}
        table[key].update(seen.body)
        self._remember(key, seen)
        return 200, {"id": server_id}

    def _remember(self, key, seen) -> None:
        wid = key if isinstance(key, str) else key[0]
        name = "workflow" if isinstance(key, str) else f"task {key[1]}"
        self.history.setdefault(wid, []).append(f"{seen.method} {name} {seen.body.get('status')}")

    def close(self) -> None:
        self._http.stopped.set()
        self._http.shutdown()
        self._http.server_close()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join()


def _record_of(seen: Seen) -> tuple[str, int | None]:
    """The workflow and the task that a call is about."""
    parts = [unquote(one) for one in seen.path.strip("/").split("/")]
    workflow = parts[1] if parts[1:] else seen.body["id"]
    if parts[2:]:
        return workflow, int(parts[3]) if parts[3:] else seen.body["id"]
    return workflow, None
