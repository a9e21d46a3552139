"""How the tests talk to the server."""

import os
import socket
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests

from dotflow.api import ApiServer

TOKEN = "right-token"


class Api:
    """Calls one server over one kept-alive connection."""

    def __init__(self, server: ApiServer, token: str = TOKEN) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.headers["X-User-Token"] = token

    def call(self, method: str, path: str, key: str | None = None, **options: Any) -> Any:
        headers = {**options.pop("headers", {}), **({"Idempotency-Key": key} if key else {})}
        url = self.server.url + path
        return self.session.request(method, url, headers=headers, timeout=60, **options)

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any, key: str | None = None) -> Any:
        return self.call("POST", path, key, json=body)

    def patch(self, path: str, body: Any, key: str | None = None) -> Any:
        return self.call("PATCH", path, key, json=body)

    def raw(self, method: str, path: str, body: Any, kind: str = "application/json") -> Any:
        return self.call(method, path, data=body, headers={"Content-Type": kind})

    def workflow(self, **values: Any) -> str:
        """Adds a workflow and gives the path to it."""
        body = {"id": uuid4().hex, **values}
        assert self.post("/workflows", body).status_code == 201
        return "/workflows/" + quote(body["id"], safe="")

    def task(self, workflow: str, task_id: int = 1, **values: Any) -> str:
        """Adds a task and gives the path to it in the default dialect."""
        answer = self.post(f"{workflow}/tasks", {"id": task_id, "name": "step", **values})
        assert answer.status_code == 201
        return f"/tasks/{answer.json()['id']}"


def faults(answer: Any) -> list[list[Any]]:
    """Gives the places that a 422 names."""
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert all(set(fault) == {"loc", "msg", "type"} for fault in detail)
    return [fault["loc"] for fault in detail]


def exchange(url: str, request: bytes) -> bytes:
    """Sends bytes as they are and gives all that comes back until the server hangs up."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def postgres_url() -> str:
    url = os.environ.get("DOTFLOW_TEST_POSTGRES")
    if not url:
        pytest.skip("DOTFLOW_TEST_POSTGRES names no PostgreSQL database")
    return url
