"""What the tests of delivery share."""

from __future__ import annotations

import pytest
import trustme
from support.certificates import certified
from support.fault_server import TOKEN, FaultServer

from dotflow.delivery.channel import outbox_name
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.client import Client
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay.relay import Relay
from dotflow.runlog.writer import RunLog


@pytest.fixture
def api():
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture
def default(api):
    return Destination(api.url, TOKEN, Dialect.DEFAULT, timeout=30.0)


@pytest.fixture
def managed(api):
    return Destination(api.url, TOKEN, Dialect.MANAGED, timeout=30.0)


class LogRelay(Relay):
    """A relay with a run log of its own, to which `support.reports` writes."""

    def __init__(self, destination, client=None, **kwargs):
        self.log = RunLog()
        self.policy = destination.dialect.value
        outbox = Outbox(outbox_name(destination), self.log)
        super().__init__(outbox, client or Client(destination), **kwargs)


@pytest.fixture
def relays():
    """Makes relays, and closes them all."""
    made = []

    def make(api, dialect=Dialect.DEFAULT, timeout=30.0, **kwargs):
        made.append(LogRelay(Destination(api.url, TOKEN, dialect, timeout), **kwargs))
        return made[-1]

    yield make
    for relay in made:
        relay.close(0)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    return certified(authority, "127.0.0.1")


@pytest.fixture
def trusted(authority, monkeypatch, tmp_path):
    """Has the environment name the bundle of the tests' own authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    return path


@pytest.fixture
def no_proxies(monkeypatch):
    """Has the environment name neither a proxy nor a bundle."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE",
                 "CURL_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
