"""Enough of HTTP/2 for a server of gRPC that keeps to no rule (RFC 9113, RFC 7541)."""

from __future__ import annotations

import gzip
import struct

DATA, HEADERS, SETTINGS, PING, CONTINUATION = 0, 1, 4, 6, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
MOST = 16_384  # bytes of a frame


def frame(kind, flags=0, stream=1, payload=b""):
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def _length(number):
    """An integer with a prefix of seven bits."""
    if number < 127:
        return bytes([number])
    found, number = b"\x7f", number - 127
    while number >= 128:
        found += bytes([number % 128 + 128])
        number //= 128
    return found + bytes([number])


def fields(*pairs):
    """Header fields, none of them indexed or compressed."""
    return b"".join(
        b"\0" + _length(len(name)) + name + _length(len(value)) + value for name, value in pairs
    )


OK = fields((b":status", b"200"), (b"content-type", b"application/grpc"))
GZIP = OK + fields((b"grpc-encoding", b"gzip"))
TRAILERS = fields((b"grpc-status", b"0"))


def message(body=b"", is_packed=False):
    """A message of gRPC."""
    packed = gzip.compress(body) if is_packed else body
    return bytes([is_packed]) + struct.pack(">I", len(packed)) + packed


def data(body, flags=0):
    """A body in frames."""
    parts = [body[start : start + MOST] for start in range(0, len(body), MOST)] or [b""]
    return b"".join(frame(DATA, flags * (part is parts[-1]), 1, part) for part in parts)


def greeted(connection):
    """Begin, and read until a request has come."""
    connection.sendall(frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
    with connection.makefile("rb") as said:
        said.read(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        kind = None
        while kind != HEADERS and (head := said.read(9)):
            kind = head[3]
            said.read(int.from_bytes(head[:3], "big"))


def after(first, unit=b"", pause=None):
    """A script of a server: say something once a request has come, and then more without end."""

    def script(connection, stopped):
        greeted(connection)
        connection.sendall(first)
        while unit and not stopped.wait(pause or 0):
            connection.sendall(unit)
        stopped.wait()

    return script
