"""OTLP over gRPC, in a process that forks."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from dotflow import __version__
from dotflow.delivery.answers import LONGEST_RETRY_AFTER
from dotflow.otel.export import mistakes
from dotflow.otel.export.endpoint import Endpoint, Unusable, credentials_of
from dotflow.otel.export.outcome import Outcome, told

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MOST_ANSWER = 2**16
"""Bytes of an answer that are read, and of its headers."""

LONGEST_WAIT = 0.02
"""Seconds that a fork waits for exports: a collector that is slow is no reason to hold up a run."""

MARGIN = 0.5
"""Seconds beyond its deadline that gRPC has to say so itself."""

LONGEST_CLOSE = 0.5
"""Seconds that closing a channel is waited for."""

PROVIDERS = (
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_TRACES_CREDENTIAL_PROVIDER",
)
"""Variables that name who makes the credentials of a channel."""

REFUSED = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
})  # fmt: skip
"""Statuses that find fault with a batch."""

TOO_LARGE, IS_OURS = "larger than max", f"vs. {MOST_ANSWER}"
"""What gRPC says of a batch that is too large, and of an answer that is."""

_OPTIONS = (
    ("grpc.primary_user_agent", f"dotflow/{__version__}"),
    ("grpc.max_receive_message_length", MOST_ANSWER),
    ("grpc.max_metadata_size", MOST_ANSWER),
    ("grpc.absolute_max_metadata_size", MOST_ANSWER),
    # A channel that is made anew tries to connect at once, whatever became of the one before.
    ("grpc.use_local_subchannel_pool", 1),
)
_PACKED = {
    "none": grpc.Compression.NoCompression,
    "gzip": grpc.Compression.Gzip,
    "deflate": grpc.Compression.Deflate,
}


class _UnderWay:
    """How many exports are under way; none begins while the process forks.

    Where one is, gRPC lets the fork happen as if it had no part in it
    (https://github.com/grpc/grpc/blob/master/doc/fork_support.md), and may send that batch again.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            # This module imports gRPC before: so of what is to happen before a fork this is first.
            os.register_at_fork(
                before=self._hold, after_in_parent=self._let_go, after_in_child=self._renew
            )

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def _hold(self) -> None:
        self._changed.acquire()
        self._changed.wait_for(lambda: not self._count, LONGEST_WAIT)

    def _let_go(self) -> None:
        self._changed.release()

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._count = 0


_under_way = _UnderWay()


class GrpcExporter:
    """Sends encoded spans; called by one thread. A fork waits for it, a moment.

    Args:
        endpoint: Where to.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.timeout = endpoint.timeout
        self._endpoint = endpoint
        self._channel: Any = None

    def send(self, body: bytes) -> Outcome:
        """Send a batch, within the endpoint's timeout.

        Args:
            body: An encoded `ExportTraceServiceRequest`.
        """
        try:
            with _under_way:
                answer = self._answer(body)
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
        except grpc.RpcError as error:
            return self._failed(error)
        except Unusable as error:
            return Outcome(str(error))
        except Exception:  # noqa: BLE001 - not its text, which may hold a header
            return Outcome("could not be spoken to: the address or a header is wrong")
        return Outcome(rejected=partial.rejected_spans, said=self._told(partial.error_message))

    def let_go(self) -> None:
        """Forget the parent's channel, in a forked child: gRPC has seen to it."""
        self._channel = None

    def close(self) -> None:
        """Close the channel; what is under way ends at once. Called by any thread."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        # Where a server floods, and reads nothing, this does not end before it does.
        closing = threading.Thread(target=channel.close, name="dotflow-otlp-close", daemon=True)
        with contextlib.suppress(RuntimeError):  # at the end of the process no thread begins
            closing.start()
            closing.join(LONGEST_CLOSE)

    def _answer(self, body: bytes) -> bytes:
        """What is answered; waited for here, for gRPC keeps no deadline while a server floods."""
        if self._channel is None:
            self._channel = self._connected()
        headers = tuple(self._endpoint.headers.items())
        call = self._channel.unary_unary(METHOD).future(body, self.timeout, headers)
        try:
            answer: bytes = call.result(self.timeout + MARGIN)
        except grpc.FutureTimeoutError:
            call.cancel()
            self.close()
            raise Unusable(mistakes.late(self._endpoint)) from None
        return answer

    def _connected(self) -> Any:
        endpoint = self._endpoint
        packing = _PACKED[endpoint.compression]
        if not endpoint.is_secure:
            return grpc.insecure_channel(endpoint.url, _OPTIONS, packing)
        credentials = credentials_of(PROVIDERS)
        if credentials is None:
            authority, client, key = endpoint.read_files()
            credentials = grpc.ssl_channel_credentials(authority, key, client)
        return grpc.secure_channel(endpoint.url, credentials, _OPTIONS, packing)

    def _failed(self, error: Any) -> Outcome:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            # It would wait before it connects again, longer each time.
            self.close()
        why = mistakes.of_grpc(code.name, details, self._told(details), self._endpoint)
        is_refused = code in REFUSED or (TOO_LARGE in details and IS_OURS not in details)
        return Outcome(why, is_refused, _retry_after(error))

    def _told(self, text: str) -> str:
        return told(text, self._endpoint.headers.values())


def _retry_after(error: Any) -> float | None:
    """Seconds that an endpoint asks to wait, in the details of its status."""
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

    with contextlib.suppress(Exception):
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                for detail in Status.FromString(value).details:
                    found = RetryInfo()
                    if detail.Unpack(found):
                        seconds: float = found.retry_delay.ToTimedelta().total_seconds()
                        return min(LONGEST_RETRY_AFTER, max(0.0, seconds))
    return None
