"""The token goes to its server, and is in nothing else that we leave behind."""

from __future__ import annotations

import base64
import logging
import os
import pickle
import subprocess
import sys
import traceback
from urllib.parse import quote

import pytest
import requests
from support.fault_server import FaultServer, status
from support.messages import workflow_post
from support.processes import files_of_ours

from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.client import MAX_ANSWER, Client
from dotflow.delivery.http.mask import masked
from dotflow.delivery.message import Delivered, Refused, TryLater

TOKEN = 't0k/en "q&uoted\\<' + "x" * 20
"""One that is written in another way wherever quotes, slashes or signs are."""


def echo_as(code, head=b"", tail=b""):
    """Answer with all headers of the request, as they came."""

    def fault(handler, seen):
        lines = "".join(f"{name}: {value}\n" for name, value in seen.headers.items()).encode()
        handler.answer(code, head + lines + tail, {})

    return fault


def raw(answer):
    """Answer so, with the token in it, and close."""

    def fault(handler, seen):
        handler.close_connection = True
        handler.wfile.write(answer % TOKEN.encode() + b"\r\n\r\n")

    return fault


FAULTS = {
    "401": echo_as(401),
    "500": echo_as(500),
    "422": lambda handler, seen: handler.answer(422, {"detail": [TOKEN, {TOKEN: TOKEN}]}, {}),
    "redirect": lambda handler, seen: handler.answer(
        307, TOKEN.encode(), {"Location": f"/?token={quote(TOKEN)}"}
    ),
    "retry": lambda handler, seen: handler.answer(429, b"", {"Retry-After": TOKEN}),
    "length": raw(b"HTTP/1.1 200 OK\r\nContent-Length: %s, 1"),
    "status": raw(b"%s"),
    "reason": raw(b"HTTP/1.1 400 %s\r\nContent-Length: 0"),
    "broken headers": raw(b"HTTP/1.1 500 No\r\nno header, but %s\r\nX: y"),
}


@pytest.fixture
def loud(caplog):
    """All loggers at DEBUG."""
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture
def client(api):
    client = Client(Destination(api.url, TOKEN, Dialect.MANAGED, timeout=30))
    yield client
    client.close()


def is_in(text):
    """Whether the token is in it, in some way of writing; its end alone is enough."""
    return "x" * 20 in text or TOKEN in text


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_server_that_repeats_the_token(fault, api, client, loud, capfd):
    """Neither what became of a message holds the token, nor what was logged meanwhile."""
    api.on("POST", fault)
    outcome = client.send(workflow_post())
    assert isinstance(outcome, (Refused, TryLater, Delivered))
    assert api.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert loud.text  # urllib3's
    assert not is_in(repr(outcome))
    assert not is_in(loud.text + "".join(capfd.readouterr()))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_error_of_a_question(fault, api, client, loud):
    """Neither does an exception, nor what it came from."""
    api.on("GET", fault)
    with pytest.raises(requests.RequestException) as caught:
        client.next_task_id("w", 30)
    error: BaseException | None = caught.value
    assert not is_in("".join(traceback.format_exception(error)))
    while error is not None:
        assert not is_in(repr(error) + str(error))
        assert getattr(error, "request", None) is None
        error = error.__context__


def test_nothing_shows_the_token(client):
    """What can be printed of a client or of a destination does not hold it."""
    for one in (client, client.destination, [client.destination], {1: client.destination}):
        assert not is_in(f"{one} {one!r}")
    with pytest.raises(TypeError):  # a client stays where it is; a destination may be sent on
        pickle.dumps(client)
    assert pickle.loads(pickle.dumps(client.destination)) == client.destination


@pytest.mark.parametrize("token", ["s3cr3t-t0ken", TOKEN, "a+b/c==", "%41%42"])
def test_ways_to_write_a_token(token):
    """The token is known also where quotes, signs or letters are written in another way."""
    ways = [
        token,
        token.upper(),
        repr(token)[1:-1],
        quote(token, safe=""),
        quote(token, safe="").lower(),
        base64.b64encode(token.encode()).decode(),
    ]
    for way in ways:
        assert masked(f"<{way}>", token).rstrip("=>") == "<[token]"


def test_a_token_at_the_end_of_what_is_read(api, client):
    """Where an answer is cut within the token, its first half is not repeated either."""
    many, rest = divmod(MAX_ANSWER, len(TOKEN))
    assert rest > 5
    for start in range(rest - 5, rest):
        text = "." * (rest - start) + TOKEN * (many + 1)
        api.well()
        api.on("POST", status(400, text.encode()))
        outcome = client.send(workflow_post())
        assert isinstance(outcome, Refused)
        assert "t0k" not in outcome.reason


def test_no_token_is_masked_where_there_is_none():
    """Without a token every text is as it was."""
    assert masked("text", "") == "text"


def test_an_answer_that_is_too_deep(api, client):
    """An answer that is nested beyond reason is no reason to fail."""
    for depth in (100, 500, 900, 1500, 30_000):
        api.well()
        api.on("POST", status(400, b"[" * depth + b"]" * depth))
        assert isinstance(client.send(workflow_post()), Refused)


RUN = """
import http.client, logging, sys
logging.basicConfig(level=logging.DEBUG)
http.client.HTTPConnection.debuglevel = 1
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

@action
def step():
    return 1

server = ServerOtel()
server.tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(sys.stdout)))
for _ in range(3):
    workflow = DotFlow(config=Config(server=server), name="run")
    workflow.task.add(step=[step, step])
    workflow.start()
print(repr(server), vars(server), server.flush(3), file=sys.stderr)
server.close(0)
"""


def test_a_whole_run(api, tmp_path):
    """A run that meets every fault leaves the token in no line, no span and no file."""
    faults = {"500": 2, "broken headers": 1, "retry": 1, "redirect": 2, "422": 2, "401": None}
    for name, times in faults.items():
        api.on(".", FAULTS[name], times=times)
    environment = {
        **os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path),
        "SERVER_BASE_URL": api.url, "SERVER_USER_TOKEN": TOKEN,
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "SERVER_USER_TOKEN" in ended.stderr  # it came to the 401
    assert "urllib3" in ended.stderr
    assert '"trace_id"' in ended.stdout
    assert not is_in(ended.stdout + ended.stderr)
    files = files_of_ours(tmp_path)
    ours = [one.read_bytes() for one in files_of_ours(tmp_path / "state")]
    assert any(b"Completed" in one for one in ours)  # that is where reports are looked for
    assert not [one for one in files if b"x" * 20 in one.read_bytes()]


def test_a_redirect_to_another_host_gets_no_token(api, client):
    """The host that a redirect names is not even called."""
    other = FaultServer()
    api.on(".", status(308, Location=other.url))
    assert isinstance(client.send(workflow_post()), Refused)
    assert other.connections == 0
    other.close()
