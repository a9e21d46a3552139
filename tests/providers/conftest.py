"""What the tests of providers share."""

from __future__ import annotations

import pytest
from support.fault_server import FaultServer


@pytest.fixture
def api():
    server = FaultServer()
    yield server
    server.close()
