"""A reverse proxy that serves another server below a path, and streams what it answers."""

from __future__ import annotations

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TARGET, PREFIX = urlsplit(sys.argv[1]), sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    """Takes the prefix off, as people have their proxies do; all else stays as it is."""

    def pass_on(self):
        if not self.path.startswith(PREFIX + "/"):
            self.send_error(404, "outside of the prefix")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name != "Connection"}
        headers |= {"Connection": "close", "X-Forwarded-Prefix": PREFIX}
        behind = http.client.HTTPConnection(TARGET.hostname, TARGET.port, timeout=600)
        behind.request(self.command, self.path.removeprefix(PREFIX), body, headers)
        answer = behind.getresponse()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        while part := answer.read1(65_536):
            self.wfile.write(part)
            self.wfile.flush()
        behind.close()

    do_GET = do_POST = do_PATCH = pass_on  # noqa: N815 - the base class calls them so

    def log_message(self, *_):
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}{PREFIX}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
