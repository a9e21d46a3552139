from __future__ import annotations

import pytest
from support.otlp import OtlpReceiver

from dotflow import Config
from dotflow.api import ApiServer
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="session")
def receiver():
    with OtlpReceiver() as one:
        yield one


@pytest.fixture
def otlp(receiver):
    receiver.clear()
    return receiver


@pytest.fixture
def api(tmp_path):
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as server:
        yield server


@pytest.fixture
def servers(request):
    """Makes ServerOtel that leave the global provider alone, and closes them all.

    Where they report to is there for longer: to close one would wait for what is gone.
    """
    for receiver in {"api", "otlp"}.intersection(request.fixturenames):
        request.getfixturevalue(receiver)
    made = []

    def make(*args, **kwargs):
        kwargs.setdefault("set_global", False)
        made.append(ServerOtel(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close(60)


@pytest.fixture
def quiet():
    """Makes a Config that logs errors only to nowhere."""

    def make(server, **kwargs):
        return Config(server=server, log=LogDefault(level="ERROR", output="file"), **kwargs)

    return make
