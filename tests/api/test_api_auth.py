import logging
from typing import Any

import pytest
import requests
from api_client import TOKEN, exchange

from dotflow.api import ApiServer

ROUTES = [
    ("GET", "/workflows"),
    ("POST", "/workflows"),
    ("GET", "/workflows/x"),
    ("PATCH", "/workflows/x"),
    ("GET", "/workflows/x/tasks"),
    ("POST", "/workflows/x/tasks"),
    ("GET", "/workflows/x/tasks/next-id"),
    ("PATCH", "/workflows/x/tasks/1"),
    ("PATCH", "/tasks/1"),
    ("GET", "/nowhere"),
]
WRONG: list[dict[str, Any]] = [
    {},
    {"X-User-Token": "wrong"},
    {"X-User-Token": ""},
    {"X-User-Token": TOKEN + "x"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Basic {TOKEN}"},
    {"X-User-Token": "tökén"},
    {"Authorization": "Bearer 🚲".encode()},
    {"X-User-Token": f"Bearer {TOKEN}"},
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_needs_the_token(server: ApiServer, method: str, path: str) -> None:
    """Without a token nothing is answered but 401, whether it exists or not."""
    answer = requests.request(method, server.url + path, json={}, timeout=60)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "X-User-Token" in answer.json()["detail"]


@pytest.mark.parametrize("headers", WRONG, ids=range(len(WRONG)))
def test_wrong_tokens_are_refused(server: ApiServer, headers: dict[str, Any]) -> None:
    """No other value than the token lets anybody in, and none breaks the server."""
    answer = requests.get(f"{server.url}/workflows", headers=headers, timeout=60)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"X-User-Token": TOKEN},
        {"Authorization": f"Bearer {TOKEN}"},
        {"Authorization": f"bearer {TOKEN}"},
        {"X-User-Token": "wrong", "Authorization": f"Bearer {TOKEN}"},
    ],
)
def test_either_header_is_good(server: ApiServer, headers: dict[str, str]) -> None:
    """The token of either dialect opens every route."""
    answer = requests.get(f"{server.url}/workflows", headers=headers, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
def test_what_tells_of_no_run_is_open(server: ApiServer, path: str) -> None:
    """The health check and the description of the API need no token."""
    assert requests.get(server.url + path, timeout=60).status_code == 200


def test_health_says_ok(server: ApiServer) -> None:
    """A server whose database answers says so."""
    assert requests.get(f"{server.url}/healthz", timeout=60).json() == {"status": "ok"}


def test_body_of_a_stranger_is_not_parsed(server: ApiServer) -> None:
    """A body that could not be read is still a 401, and the connection stays usable."""
    with requests.Session() as session:
        for _ in range(2):
            answer = session.post(f"{server.url}/workflows", data=b"{" * 2**20, timeout=10)
            assert answer.status_code == 401


def test_stranger_who_waits_is_answered(server: ApiServer) -> None:
    """A client that asks before it sends is told 401 without having to send."""
    request = (
        b"POST /workflows HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert exchange(server.url, request).startswith(b"HTTP/1.1 401 ")


def test_no_token_means_open(sqlite_url: str) -> None:
    """A server without a token lets everybody in."""
    with ApiServer(sqlite_url) as server:
        answer = requests.post(f"{server.url}/workflows", json={"id": "x"}, timeout=60)
        assert answer.status_code == 201


def test_token_is_in_no_log_and_no_repr(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what the server says of itself nor its log holds the token."""
    caplog.set_level(logging.DEBUG)
    with ApiServer(sqlite_url, "hush-hush") as server:
        requests.get(f"{server.url}/workflows", headers={"X-User-Token": "hush-hush"}, timeout=60)
        assert "hush-hush" not in repr(server) + repr(vars(server)["_server"]) + caplog.text
