"""A socket whose descriptor is somebody else's by now is neither used nor closed."""

from __future__ import annotations

import os
import ssl
import threading
import time
from pathlib import Path

import pytest
import trustme
from support.fault_server import TOKEN, FaultServer
from support.hostile_server import HostileServer, hang, say
from support.messages import task_post, workflow_post

from dotflow.delivery.dialect import Destination
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, TryLater

TABLE = Path("/proc/self/net/tcp")

pytestmark = pytest.mark.skipif(not TABLE.exists(), reason="needs Linux to find a socket")


@pytest.fixture(params=["http", "https"])
def server(request, monkeypatch, tmp_path):
    """A server over plain HTTP, and one over TLS that is trusted."""
    context = None
    if request.param == "https":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    api = FaultServer(tls=context)
    yield api
    api.close()


@pytest.fixture
def client(server):
    client = Client(Destination(server.url, TOKEN, timeout=2.0))
    yield client
    client.close()


def sockets_to(port):
    """The descriptors of this process's sockets that lead to a port."""
    found = []
    lines = [line.split() for line in TABLE.read_text().splitlines()]
    for one in Path("/proc/self/fd").iterdir():
        try:
            inode = str(one.readlink())[8:-1]
        except OSError:  # the descriptor that lists the folder
            continue
        remote = [line[2] for line in lines if line[9] == inode]
        if remote and int(remote[0].rpartition(":")[2], 16) == port:
            found.append(int(one.name))
    return found


def take_over(descriptor, path):
    """Do as a step that closes all descriptors, and opens a file under one's number."""
    os.close(descriptor)
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    if file != descriptor:
        os.dup2(file, descriptor)
        os.close(file)
    os.write(descriptor, b"theirs")


def is_untouched(descriptor, path):
    """Whether a file is as it was, its descriptor open and as it was too."""
    at = os.lseek(descriptor, 0, os.SEEK_CUR)
    return path.read_bytes() == b"theirs" and at == 6 and os.get_blocking(descriptor)


def port_of(server):
    return int(server.url.rpartition(":")[2])


def test_the_next_call_takes_another_connection(server, client, tmp_path):
    """A call after that goes over a new connection, and the file is as it was."""
    assert client.send(workflow_post()) == Delivered()
    [descriptor] = sockets_to(port_of(server))
    take_over(descriptor, tmp_path / "mine")
    assert client.send(task_post(1)) == Delivered("srv-1")
    assert is_untouched(descriptor, tmp_path / "mine")
    client.close()
    assert is_untouched(descriptor, tmp_path / "mine")
    os.close(descriptor)


@pytest.mark.parametrize("end", ["close", "release", "renewed"])
def test_what_ends_a_connection_closes_only_sockets(server, client, tmp_path, end):
    """However a connection ends, a file that has its number stays open."""
    client.send(workflow_post())
    [descriptor] = sockets_to(port_of(server))
    take_over(descriptor, tmp_path / "mine")
    getattr(client, end)()
    assert is_untouched(descriptor, tmp_path / "mine")
    os.close(descriptor)


def test_a_renewed_client_closes_its_copies(server, client):
    """A forked child lets go of its copies of the parent's sockets; the parent goes on."""
    client.send(workflow_post())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client.renewed()
            code = 0 if not sockets_to(port_of(server)) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.send(task_post(1)) == Delivered("srv-1")
    assert server.connections == 1


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 50_000_000])
def test_within_a_call(tmp_path, size):
    """A file that takes the number while a call waits, to read or to write, stays as it was."""
    with HostileServer(hang if size > 10 else say(b"", stays=True)) as server:
        client = Client(Destination(server.url, TOKEN, timeout=3.0))
        outcomes = []
        message = task_post(1, initial_context="x" * size)
        thread = threading.Thread(target=lambda: outcomes.append(client.send(message)))
        thread.start()
        deadline = time.monotonic() + 60
        while not (found := sockets_to(server.port)) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        take_over(found[0], tmp_path / "mine")
        thread.join()
        client.close()
    assert isinstance(outcomes[0], TryLater)
    assert (tmp_path / "mine").read_bytes() == b"theirs"
    os.close(found[0])  # raises unless it is open
