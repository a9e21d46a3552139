"""What the tests of platforms share."""

from __future__ import annotations

import time

import pytest

TIME = 60  # seconds, on a machine that has much else to do


@pytest.fixture
def wait_for():
    """Waits for what is expected."""

    def wait(happens):
        deadline = time.monotonic() + TIME
        while not happens():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)

    return wait
