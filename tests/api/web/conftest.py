from collections.abc import Iterator

import pytest
from api_client import TOKEN

from dotflow.api import ApiServer


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server of the module's own: what it shows is what the module's tests reported."""
    file = tmp_path_factory.mktemp("pages") / "records.db"
    with ApiServer(f"sqlite:///{file}", TOKEN) as running:
        yield running
