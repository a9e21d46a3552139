"""Where notices arrive: a webhook and a mail server, on real sockets, that can misbehave."""

from __future__ import annotations

import email
import json
import socketserver
import threading
import time
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIME = 60.0  # seconds, for a machine that is busy


class _Receiver:
    """Serves in threads, and waits for what is expected."""

    def __init__(self, server):
        self.server = server
        self.received = []
        self.released = threading.Event()
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self):
        return self.server.server_address[1]

    def wait_for(self, count):
        deadline = time.monotonic() + TIME
        while len(self.received) < count:
            assert time.monotonic() < deadline, self.received
            time.sleep(0.005)
        return self.received

    def __enter__(self):
        self.server.receiver = self
        self.server.daemon_threads = True
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


class Webhook(_Receiver):
    """Takes JSON as `json://` posts it.

    Attributes:
        answers: The statuses of the next calls; 200 once there are none. 0 never answers.
        asked: How many calls came.
    """

    def __init__(self, *answers):
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), _Hook))
        self.answers = list(answers)
        self.asked = 0
        self.paths = []

    def wait_until_asked(self):
        deadline = time.monotonic() + TIME
        while not self.asked:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    @property
    def url(self):
        return f"json://127.0.0.1:{self.port}/hook/s3cr3t-p4th"


class _Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        receiver = self.server.receiver
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        receiver.asked += 1
        receiver.paths.append(self.path)
        status = receiver.answers.pop(0) if receiver.answers else 200
        if not status:
            receiver.released.wait(TIME)
            return
        if status == 200:
            receiver.received.append(body)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Mailbox(_Receiver):
    """A mail server that takes every mail."""

    def __init__(self):
        super().__init__(_Threaded(("127.0.0.1", 0), _Smtp))

    @property
    def url(self):
        return f"mailto://127.0.0.1:{self.port}?from=dotflow@example.com&to=team@example.com"


class _Threaded(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _Smtp(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self):
        self.say("220 here")
        while line := self.rfile.readline():
            verb = line.split(None, 1)[0].upper() if line.strip() else b""
            if verb == b"DATA":
                self.say("354 go on")
                lines = []
                while (one := self.rfile.readline()) and one != b".\r\n":
                    lines.append(one[1:] if one.startswith(b".") else one)
                mail = email.message_from_bytes(b"".join(lines), policy=policy.default)
                self.server.receiver.received.append(mail)
            self.say("221 bye" if verb == b"QUIT" else "250 well")
            if verb == b"QUIT":
                return
