"""A receiver that keeps whole requests, with resources and scopes."""

from __future__ import annotations

from support.signals import REQUESTS, SignalReceiver

from conventions.live_check import LiveCheck
from conventions.registry import read


class RequestReceiver(SignalReceiver):
    """Keeps what reaches it.

    Attributes:
        requests: The export requests, of all three signals.
    """

    def __enter__(self):
        self.requests = []
        return super().__enter__()

    def take(self, kind, body):
        self.requests.append(REQUESTS[kind].FromString(body))


def checked(requests, registry=None):
    """A check that has read all of them."""
    check = LiveCheck(registry or read(), frozenset({"dotflow", "shop"}))
    for one in requests:
        check.read(one)
    return check
