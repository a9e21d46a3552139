"""What the tests of delivery share."""

from __future__ import annotations

import pytest
from support.fault_server import TOKEN, FaultServer

from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay import Relay


@pytest.fixture
def api():
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture
def default(api):
    return Destination(api.url, TOKEN, Dialect.DEFAULT, timeout=2.0)


@pytest.fixture
def managed(api):
    return Destination(api.url, TOKEN, Dialect.MANAGED, timeout=2.0)


@pytest.fixture
def relays():
    """Makes relays, and closes them all."""
    made = []

    def make(api, dialect=Dialect.DEFAULT, timeout=1.0, outbox=None, **kwargs):
        destination = Destination(api.url, TOKEN, dialect, timeout)
        relay = Relay(outbox or Outbox(), Client(destination), **kwargs)
        made.append(relay)
        return relay

    yield make
    for relay in made:
        relay.close(0)
