"""TLS, and proxies, of servers that mean no good."""

from __future__ import annotations

import os
import socket

import pytest
from support.calls import BROKEN, UNREACHED, send
from support.certificates import certified
from support.fault_server import TOKEN, FaultServer, status
from support.hostile_server import (
    ConnectProxy,
    HostileServer,
    over_tls,
    request,
    say,
)
from support.messages import task_post, workflow_patch, workflow_post

from dotflow.delivery.dialect import Destination
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, TryLater

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_proxies")]


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_tls_with_the_bundle_of_the_environment(variable, tls, authority, monkeypatch, tmp_path):
    """A server whose authority the environment names is trusted, and its connection kept."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    api = FaultServer(tls=tls)
    assert send(api.url, workflow_post(), task_post(1)) == [Delivered(), Delivered("srv-1")]
    assert api.connections == 1
    api.close()


def test_a_closed_connection_over_tls_costs_nothing(tls, trusted):
    """Also over TLS a connection that the server has closed is made anew, without a failure."""
    api = FaultServer(tls=tls)
    client = Client(Destination(api.url, TOKEN))
    for number in range(2):
        assert client.send(workflow_post(f"w{number}")) == Delivered()
        api.drop_idle()
    client.close()
    assert len(api.seen) == 2
    api.close()


def test_an_unknown_authority_is_not_trusted(tls):
    """A certificate of somebody else's has all messages wait, and says why."""
    api = FaultServer(tls=tls)
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.reason.startswith("the server's certificate could not be verified: ")
    assert api.seen == []
    api.close()


def test_a_certificate_for_another_host_is_not_trusted(authority, trusted):
    """A certificate that is good, but another host's, is not enough."""
    api = FaultServer(tls=certified(authority, "dotflow.example"))
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert "mismatch" in outcome.reason
    assert api.seen == []
    api.close()


def test_tls_that_breaks_off(tls, trusted):
    """Where TLS breaks in a call, it was trusted before: that is no reason to keep others back."""

    def garble(connection, stopped):
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        with socket.socket(fileno=os.dup(connection.fileno())) as below:
            below.sendall(b"garbage" * 100)
        stopped.wait()

    with HostileServer(over_tls(tls, garble)) as server:
        assert send(server.url.replace("http", "https")) == BROKEN


def test_https_where_there_is_no_tls(api):
    """An address of https for a server of http is said to be no TLS."""
    outcome = send(api.url.replace("http", "https"))
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.reason.startswith("no TLS connection could be made: ")
    assert api.seen == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none(content, tls, monkeypatch, tmp_path):
    """A bundle that is not there, or is none, has all messages wait."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    api = FaultServer(tls=tls)
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert api.seen == []
    api.close()


def test_a_tunnel_through_a_proxy(authority, trusted, monkeypatch):
    """Over HTTPS_PROXY a message goes to the server in TLS; the proxy sees its name, no token."""
    api = FaultServer(tls=certified(authority, "dotflow.invalid"))
    with ConnectProxy(int(api.url.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//us%C3%A9r:p4ss@"))
        messages = workflow_post(), task_post(1)
        assert send("https://dotflow.invalid", *messages) == [Delivered(), Delivered("srv-1")]
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(b"CONNECT dotflow.invalid:443 ")
    assert b"Proxy-Authorization: Basic " in proxy.heads[0]
    assert TOKEN.encode() not in proxy.heads[0]
    assert "proxy-authorization" not in api.seen[0].headers
    api.close()


def test_tls_is_verified_through_a_proxy(authority, trusted, monkeypatch):
    """A proxy that leads somewhere else gets nothing."""
    api = FaultServer(tls=certified(authority, "elsewhere.invalid"))
    with ConnectProxy(int(api.url.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        outcome = send("https://dotflow.invalid")
    assert isinstance(outcome, TryLater)
    assert "certificate" in outcome.reason
    assert api.seen == []
    api.close()


def test_a_proxy_for_plain_http(api, monkeypatch):
    """HTTP_PROXY is given the whole address, in which no id is changed."""
    api.on("PATCH", status(200))
    monkeypatch.setenv("http_proxy", api.url)
    assert send("http://dotflow.invalid/base", workflow_patch("..", status="x")) == Delivered()
    assert api.lines() == ["PATCH http://dotflow.invalid/base/workflows/%2E%2E"]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b"?\r\n\r\n", b""]
)
def test_a_proxy_that_refuses(answer, monkeypatch):
    """A proxy that makes no tunnel has all messages wait."""
    with HostileServer(say(answer)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert send("https://dotflow.invalid") == UNREACHED


def test_no_proxy_is_honoured(api, monkeypatch):
    """A host that NO_PROXY names is called without the proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert send(api.url) == Delivered()


@pytest.mark.parametrize(
    "proxy",
    ["what://us3r:p4ss@h", "http://us3r:p4ss@h:port", "socks5://us3r:p4ss@127.0.0.1:1"],
)
def test_a_proxy_that_is_none(proxy, api, monkeypatch):
    """A proxy that cannot be one has the messages wait, and its password is not repeated."""
    monkeypatch.setenv("http_proxy", proxy)
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert "p4ss" not in outcome.reason
    assert api.seen == []


def test_a_host_of_several_addresses(api, monkeypatch):
    """A host is called at the first of its addresses that answers; where none does, it is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", closed)] * 3
    open_one = ("127.0.0.1", int(api.url.rpartition(":")[2]))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(found))
    assert send("http://dotflow.invalid") == TryLater(
        "the server could not be reached: connection refused", everywhere=True
    )
    found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", open_one))
    assert send("http://dotflow.invalid") == Delivered()
