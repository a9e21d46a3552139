"""Pools for the tests of executors."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        yield pool


@pytest.fixture
def pool(request):
    """One of the two, by its name."""
    return request.getfixturevalue(request.param)


BOTH = pytest.mark.parametrize("pool", ["threads", "processes"], indirect=True)
