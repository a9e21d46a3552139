"""What becomes of the connections of a client."""

from __future__ import annotations

import pytest
from support.fault_server import garbage, status
from support.messages import (
    workflow_patch,
    workflow_post,
)
from urllib3.connectionpool import HTTPConnectionPool

from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered


@pytest.fixture
def client(default):
    client = Client(default)
    yield client
    client.close()


def test_the_connection_is_kept(api, client):
    """Messages of one thread go over one connection, whatever their answers were."""
    api.on("PATCH", status(404, {"detail": "no"}))
    for _ in range(5):
        client.send(workflow_post())
        client.send(workflow_patch(status="x"))
    assert api.connections == 1


def test_a_renewed_client_has_connections_of_its_own(api, client):
    """In a forked child the parent's connections are left to the parent."""
    client.send(workflow_post())
    other = client.renewed()
    assert other.destination is client.destination
    assert isinstance(other.send(workflow_post()), Delivered)
    other.close()
    assert api.connections == 2


def test_http_calls_are_not_traced(api, client, monkeypatch):
    """The instrumentation of an HTTP library is told to leave our calls out."""
    context = pytest.importorskip("opentelemetry.context")
    seen, urlopen = [], HTTPConnectionPool.urlopen

    def look(pool, *args, **kwargs):
        seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY))
        return urlopen(pool, *args, **kwargs)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", look)
    client.send(workflow_post())
    assert seen == [True]
    assert context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY) is None


def test_a_connection_that_was_closed_meanwhile_costs_nothing(api, client):
    """A server that closes idle connections costs no failure, and sees no message twice."""
    for number in range(3):
        assert client.send(workflow_post(f"w{number}")) == Delivered()
        api.drop_idle()
        api.wait_for(lambda: api.open_connections == 0)
    assert (len(api.seen), api.connections) == (3, 3)


def test_release_gives_up_this_threads_connection(api, client):
    """A thread that ends leaves no connection behind; a later call opens another."""
    client.send(workflow_post())
    client.release()
    client.release()
    assert client._connections == []
    client.send(workflow_post())
    assert api.connections == 2


def test_close_closes_also_after_a_failure(api, client):
    """Connections end with the client, not with some later garbage collection."""
    api.on("POST", garbage, times=1)
    for _ in range(2):
        client.send(workflow_post())
    client.close()
    api.wait_for(lambda: api.open_connections == 0)
