import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

import dotflow.api
from dotflow.api import ApiServer
from dotflow.api.server import serve

FOREGROUND = """
import sys
from dotflow.api.server import serve
serve(sys.argv[1], "hush-hush", port=0, announce=lambda url: print(url, flush=True))
"""


def open_files() -> set[str]:
    folder = Path("/proc/self/fd")
    links = [str(link.readlink()) for link in folder.iterdir() if link.is_symlink()]
    return {link for link in links if "records.db" in link}


def test_exports_are_what_is_promised() -> None:
    """The package exports the application and the server."""
    assert dotflow.api.__all__ == ["ApiServer", "create_app"]


def test_nothing_is_left_after_stop(sqlite_url: str) -> None:
    """After stop there is no thread, no listener and no open database file."""
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    threads = set(threading.enumerate())
    with ApiServer(sqlite_url) as server, requests.Session() as session:
        assert session.get(f"{server.url}/workflows", timeout=10).ok
        assert "running" in repr(server)
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= threads
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert not open_files()
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=60)


@pytest.mark.slow
def test_a_client_that_comes_as_the_server_stops_is_let_go(sqlite_url: str) -> None:
    """What connects while the others are told to end has a connection that is closed, too."""
    server = ApiServer(sqlite_url)
    server.start()
    address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1].split("/")[0]))
    clients: list[socket.socket] = []

    def come() -> None:
        with contextlib.suppress(OSError):
            while True:
                clients.append(socket.create_connection(address, 10))
                time.sleep(0.001)

    crowd = threading.Thread(target=come)
    crowd.start()
    server.stop()
    crowd.join()
    gc.collect()  # what is open still warns now, and a warning fails a test
    for one in clients:
        one.settimeout(10)
        with contextlib.closing(one), contextlib.suppress(ConnectionError):
            assert one.recv(1) == b""


def test_server_may_be_started_again(sqlite_url: str) -> None:
    """It comes back on the same port with the same records."""
    server = ApiServer(sqlite_url)
    server.start()
    url = server.url
    assert requests.post(f"{url}/workflows", json={"id": "kept"}, timeout=60).ok
    with pytest.raises(RuntimeError, match="stop"):
        server.start()
    server.stop()
    server.stop()
    with server:
        assert server.url == url
        assert requests.get(f"{url}/workflows/kept", timeout=60).ok


def test_taken_port_is_said_at_once(sqlite_url: str) -> None:
    """A port that is taken is an OSError that names it, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = ApiServer(sqlite_url, port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            server.start()
    with server:
        assert requests.get(f"{server.url}/healthz", timeout=60).ok


@pytest.mark.parametrize("port", [-1, 65536, 80000])
def test_port_that_there_is_not_is_refused(sqlite_url: str, port: int) -> None:
    """A port is 0 to 65535: no other one is taken for it."""
    with pytest.raises(ValueError, match=f"there is no port {port}: give one from 1 to 65535"):
        ApiServer(sqlite_url, port=port).start()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_without_a_token_nobody_else_is_served(sqlite_url: str, tmp_path: Path, host: str) -> None:
    """The foreground server refuses to let everybody in, and says what to do instead."""
    with pytest.raises(ValueError, match=r"without a token everybody.*DOTFLOW_API_TOKEN"):
        serve(sqlite_url, None, host, 0)
    assert not (tmp_path / "records.db").exists()


def test_host_that_there_is_not_is_named(sqlite_url: str) -> None:
    """An address that is not known is an OSError with its name."""
    with pytest.raises(OSError, match=r"'nobody\.invalid': this machine has no such address"):
        serve(sqlite_url, "t", "nobody.invalid", 0)


def test_bad_database_is_said_at_once() -> None:
    """A URL that cannot be used is refused by start."""
    with pytest.raises(ValueError, match="give sqlite"):
        ApiServer("nonsense").start()


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("localhost", "localhost")])
def test_url_can_be_called(sqlite_url: str, host: str, shown: str) -> None:
    """The URL is one that a client on this machine can use."""
    with ApiServer(sqlite_url, host=host) as server:
        assert server.url.startswith(f"http://{shown}:")
        assert requests.get(f"{server.url}/healthz", timeout=60).ok


def test_url_of_ipv6_has_brackets(sqlite_url: str) -> None:
    """An IPv6 address stands in brackets."""
    assert ApiServer(sqlite_url, host="::1", port=8000).url == "http://[::1]:8000"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_foreground_ends_on_a_signal(sqlite_url: str, kind: signal.Signals) -> None:
    """The command announces its URL, serves until it is told to end, and logs no secret."""
    command = [sys.executable, "-c", FOREGROUND, sqlite_url]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ}, **pipes) as process:
        url = process.stdout.readline().strip()
        headers = {"X-User-Token": "hush-hush"}
        assert requests.get(f"{url}/workflows", headers=headers, timeout=60).ok
        process.send_signal(kind)
        rest, log = process.communicate(timeout=60)
    assert process.returncode in {0, -kind}
    assert "hush-hush" not in rest + log
    assert "Traceback" not in log
