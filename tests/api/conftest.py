import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_client import TOKEN, Api, postgres_url

from dotflow.api import ApiServer


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Holds tests/conftest.py's promise, but for the pool of the server that all tests share.

    Its threads come and go with the load; test_api_server.py holds that stop ends them all.
    """
    before = set(threading.enumerate())
    yield
    left = {one for one in threading.enumerate() if not one.name.startswith("AnyIO worker")}
    assert left <= before


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgres":
        return postgres_url()
    return f"sqlite:///{tmp_path_factory.mktemp('api')}/records.db"


@pytest.fixture(scope="session")
def server(database: str) -> Iterator[ApiServer]:
    with ApiServer(database, TOKEN) as running:
        yield running


@pytest.fixture
def api(server: ApiServer) -> Iterator[Api]:
    client = Api(server)
    with client.session:
        yield client


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/records.db"
