"""OTLP over gRPC: OpenTelemetry's exporter, bounded, in a process that forks."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]

from dotflow.delivery.http.answers import LONGEST_RETRY_AFTER
from dotflow.otel.export.otlp import mistakes
from dotflow.otel.export.otlp.endpoint import Unusable, as_exporters_read, compression
from dotflow.otel.export.otlp.outcome import Outcome, told
from dotflow.otel.export.otlp.quiet import quietly
from dotflow.version import __version__

if TYPE_CHECKING:
    from dotflow.otel.export.otlp.endpoint import Endpoint

MOST_ANSWER = 2**16
"""Bytes of an answer that are read, and of its headers."""

LONGEST_WAIT = 0.02
"""Seconds that a fork waits for exports: a collector that is slow is no reason to hold up a run."""

MARGIN = 0.5
"""Seconds beyond its deadline that gRPC has to say so itself."""

LONGEST_CLOSE = 0.5
"""Seconds that closing a channel is waited for."""

REFUSED = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
})  # fmt: skip
"""Statuses that find fault with a batch."""

TOO_LARGE, IS_OURS = "larger than max", f"vs. {MOST_ANSWER}"
"""What gRPC says of a batch that is too large, and of an answer that is."""

_OPTIONS: Any = (
    ("grpc.secondary_user_agent", f"dotflow/{__version__}"),
    ("grpc.max_receive_message_length", MOST_ANSWER),
    ("grpc.max_metadata_size", MOST_ANSWER),
    ("grpc.absolute_max_metadata_size", MOST_ANSWER),
    # A channel that is made anew tries to connect at once, whatever became of the one before.
    ("grpc.use_local_subchannel_pool", 1),
)
_PACKED = {"none": grpc.Compression.NoCompression, "deflate": grpc.Compression.Deflate}
"""What the variable may say, and the exporter does not know of it."""


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
    """Sends spans, or what else the endpoint is for; called by one thread at a time.

    A fork waits for it, a moment.

    Args:
        endpoint: Where to.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.timeout = endpoint.timeout
        self._endpoint = endpoint
        self._made: tuple[Any, _Client] | None = None

    def made(self) -> Any:
        """OpenTelemetry's exporter, made now where it was not yet.

        Raises:
            Unusable: It cannot be made.
        """
        self._made = self._made or self._make()
        return self._made[0]

    def send(self, batch: Any) -> Outcome | None:
        """Send a batch, within the endpoint's timeout.

        Args:
            batch: What the SDK's exporter takes: a sequence of spans, for traces. None is returned
                if no call was made, for it cannot be encoded.
        """
        try:
            exporter, client = self._made = self._made or self._make()
        except Unusable as error:
            return Outcome(str(error))
        client.outcome = None
        with _under_way, quietly(), contextlib.suppress(Exception):
            exporter.export(batch)
        if client.is_broken:
            # It would wait before it connects again, longer each time.
            self.close()
        return client.outcome

    def let_go(self) -> None:
        """Forget the parent's channel, in a forked child: gRPC has seen to it."""
        self._made = None

    def close(self) -> None:
        """Close the channel; what is under way ends at once. Called by any thread."""
        made, self._made = self._made, None
        if made is None:
            return
        exporter, client = made
        client.cancel()
        # Where a server floods, and reads nothing, this does not end before it does.
        closing = threading.Thread(target=exporter.shutdown, name="dotflow-otlp-close", daemon=True)
        with contextlib.suppress(RuntimeError):  # at the end of the process no thread begins
            closing.start()
            closing.join(LONGEST_CLOSE)

    def _make(self) -> tuple[Any, _Client]:
        endpoint = self._endpoint
        endpoint.see_files()
        with as_exporters_read():
            exporter: Any = endpoint.signal.exporter_over("grpc")(
                endpoint=endpoint.given, timeout=self.timeout, channel_options=_OPTIONS,
                compression=_PACKED.get(compression(endpoint.signal)),
                # The scheme of an address wins over what is said for those that have none.
                insecure=None if endpoint.is_secure else True,
                # It knows no user and password of an address.
                headers=tuple(endpoint.headers.items()) if endpoint.basic else None,
            )  # fmt: skip
        exporter._client = client = _Client(exporter._client, endpoint)
        return exporter, client


class _Failed(grpc.RpcError):  # type: ignore[misc]
    """What the exporter is told of a call that failed: with this status it tries no more."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.INTERNAL

    def details(self) -> str:
        return ""

    def trailing_metadata(self) -> tuple[()]:
        return ()


class _Client:
    """Makes each call of the exporter once, within its deadline, and keeps what came of it.

    The exporter tells neither what a success rejects nor why a call failed, and has no parameter
    that would: so this takes the place of its stub.

    Args:
        stub: The exporter's own, which makes the calls.
        endpoint: Where to.

    Attributes:
        outcome: What came of the last call.
        is_broken: Whether the channel is not to be used again.
    """

    def __init__(self, stub: Any, endpoint: Endpoint) -> None:
        self.outcome: Outcome | None = None
        self.is_broken = False
        self._stub = stub
        self._endpoint = endpoint
        self._call: Any = None

    def Export(self, request: Any, metadata: Any, **_: Any) -> Any:  # noqa: N802 - a stub's
        """Make a call."""
        try:
            answer = self._answer(request, metadata)
        except grpc.RpcError as error:
            self.outcome = self._failed(error)
        except Unusable as error:
            self.outcome = Outcome(str(error))
        except Exception:  # noqa: BLE001 - not its text, which may hold a header
            self.outcome = Outcome("could not be spoken to: the address or a header is wrong")
        else:
            partial = answer.partial_success
            rejected = getattr(partial, self._endpoint.signal.rejected)
            self.outcome = Outcome(rejected=rejected, said=self._told(partial.error_message))
            return answer
        raise _Failed

    def cancel(self) -> None:
        """Have the call end that is under way; called by any thread."""
        call = self._call
        if call is not None:
            call.cancel()

    def _answer(self, request: Any, metadata: Any) -> Any:
        """What is answered; waited for here, for gRPC keeps no deadline while a server floods."""
        timeout = self._endpoint.timeout  # what the exporter says hangs on the wall clock
        self._call = self._stub.Export.future(request, timeout=timeout, metadata=metadata)
        try:
            answer = self._call.result(timeout + MARGIN)
        except grpc.FutureTimeoutError:
            self.cancel()
            self.is_broken = True
            raise Unusable(mistakes.late(self._endpoint)) from None
        finally:
            self._call = None
        return answer

    def _failed(self, error: Any) -> Outcome:
        code, details = error.code(), error.details() or ""
        self.is_broken = code is grpc.StatusCode.UNAVAILABLE
        why = mistakes.of_grpc(code.name, details, self._told(details), self._endpoint)
        is_refused = code in REFUSED or (TOO_LARGE in details and IS_OURS not in details)
        return Outcome(
            why, is_refused, _retry_after(error),
            is_unknown=code.name == mistakes.UNKNOWN_TO_GRPC,
        )  # fmt: skip

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
