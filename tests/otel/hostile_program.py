"""Has an exporter speak to servers that keep to no rule, and says what each of them cost.

A line for each: its name, seconds, bytes by which the process has grown to a new peak, what came of
it. The servers are threads of this process: what they send they have only once.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import ssl
import sys
import time

import trustme
from support.hostile_server import HostileServer, drip, flood, hang, over_tls, say
from support.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GZIP,
    HEADERS,
    OK,
    PING,
    SETTINGS,
    TRAILERS,
    after,
    data,
    fields,
    frame,
    message,
)
from support.spans import ended_span

from dotflow.otel.export.otlp.endpoint import OtlpSettings, endpoint_of
from dotflow.otel.export.otlp.exports import exporter_of

TIMEOUT = 0.5  # seconds
HTTP_PROTOCOL = "http/protobuf"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
BOMB = gzip.compress(bytes(100_000_000))
PACKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\n"
BEGUN = frame(HEADERS, END_HEADERS, 1, OK)
ENDED = frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS)
MANY = fields((b"x", b"y" * 16_000))
BODY = b"x" * 1_000_000
SPANS = [ended_span(text="x" * 1_000_000)]

HTTP = {
    "nothing": hang,
    "nothing after the request": drip(b"", b""),
    "status drips": drip(b"HTTP/1.1 200 ", b"x"),
    "headers drip": drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "body drips": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x"),
    "chunks drip": drip(CHUNKED, b"1\r\nx\r\n"),
    "trailers drip": drip(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "1xx drip": drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "1xx flood": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers flood": flood(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 60_000 + b"\r\n"),
    "one header floods": flood(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 60_000),
    "body floods": flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000),
    "long body floods": flood(LONG, b"x" * 60_000),
    "error floods": flood(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 60_000),
    "redirect floods": flood(b"HTTP/1.1 302 No\r\nLocation: /x\r\n\r\n", b"x" * 60_000),
    "chunks flood": flood(CHUNKED, b"8000\r\n" + b"x" * 0x8000 + b"\r\n"),
    "a chunk of its own kind": say(CHUNKED + b"-5\r\nxx"),
    "extensions flood": flood(CHUNKED + b"1;", b"x" * 60_000),
    "trailers flood": flood(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "less than it says": say(LONG + b"x"),
    "bomb": say(PACKED + b"Content-Length: %d\r\n\r\n" % len(BOMB) + BOMB),
    "bomb that fails": say(
        PACKED.replace(b"200", b"400") + b"Content-Length: %d\r\n\r\n" % len(BOMB) + BOMB
    ),
    "garbage after the answer": flood(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"garbage"),
    "garbage": flood(b"", b"garbage"),
}
GRPC = {
    "nothing": hang,
    "headers drip": after(frame(HEADERS, 0, 1, OK), frame(CONTINUATION), 0.02),
    "headers flood": after(frame(HEADERS, 0, 1, OK), frame(CONTINUATION, 0, 1, MANY) * 4),
    "empty headers flood": after(frame(HEADERS, 0, 1, OK), frame(CONTINUATION) * 1000),
    "many headers": after(b"", frame(HEADERS, END_HEADERS, 1, OK + MANY) * 4),
    "trailers flood": after(
        BEGUN + data(message()) + frame(HEADERS, 0, 1, TRAILERS), frame(CONTINUATION, 0, 1, MANY)
    ),
    "long message": after(BEGUN + data(message(BODY)) + ENDED),
    "message that floods": after(BEGUN + data(b"\0\xff\xff\xff\xff"), data(BODY)),
    "bomb": after(frame(HEADERS, END_HEADERS, 1, GZIP) + data(message(bytes(100_000_000), True))),
    "empty data floods": after(BEGUN, frame(DATA) * 1000),
    "pings flood": after(b"", frame(PING, 0, 0, b"12345678") * 1000),
    "settings flood": after(b"", frame(SETTINGS, 0, 0) * 1000),
    "garbage": flood(b"", b"garbage"),
    "garbage after settings": after(frame(SETTINGS, 0, 0), b"\xff" * 1000),
}
WELL = {
    HTTP_PROTOCOL: say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "grpc": after(BEGUN + data(message()) + ENDED),
}


def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def cost(name, protocol, script, scheme="http", is_proxy=False):
    with HostileServer(script) as server:
        url = server.url.replace("http", scheme)
        if is_proxy:
            os.environ[f"{scheme}_proxy"], url = server.url, f"{scheme}://collector.invalid"
        exporter = exporter_of(endpoint_of(OtlpSettings(url, protocol), TIMEOUT))
        before, began = peak(), time.monotonic()
        outcome = exporter.send(SPANS)
        took, grown = time.monotonic() - began, peak() - before
        exporter.close()
        os.environ.pop(f"{scheme}_proxy", None)
    sys.stdout.write(json.dumps([name, took, grown, outcome.why]) + "\n")


def main():
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path("ca.pem")
    os.environ["OTEL_EXPORTER_OTLP_CERTIFICATE"] = "ca.pem"
    for protocol, well in WELL.items():
        cost(f"well, {protocol}", protocol, well)
        cost(f"well, {protocol} over TLS", protocol, over_tls(tls, well), "https")
    for name, script in HTTP.items():
        cost(f"{name}, HTTP", HTTP_PROTOCOL, script)
        cost(f"{name}, HTTPS", HTTP_PROTOCOL, over_tls(tls, script), "https")
        cost(f"{name}, proxy", HTTP_PROTOCOL, script, "http", True)
        cost(f"{name}, tunnel", HTTP_PROTOCOL, script, "https", True)
    handshake = drip(b"\x16\x03\x03\x40\x00", b"\0", False)
    for protocol in WELL:
        cost(f"handshake drips, {protocol}", protocol, handshake, "https")
    for name, script in GRPC.items():
        cost(f"{name}, gRPC", "grpc", script)


if __name__ == "__main__":
    main()
