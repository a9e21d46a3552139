"""The fixture of dotflow for pytest, which finds it by itself.

It is a module of its own, beside the package: pytest loads it in every session, and nothing of
dotflow is loaded until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.testing import Rehearsal

# Its asserts are those of the tests that it is mixed into.
pytest.register_assert_rewrite("dotflow.testing.storage_contract")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Have dotflow be loaded as it is in a program.

    Of a distribution with a plugin pytest rewrites the asserts of all modules, as they are loaded:
    a test would run another dotflow than the program, and wait for it to be compiled.
    """
    marked = getattr(getattr(pluginmanager, "rewrite_hook", None), "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard("dotflow")


@pytest.fixture
def dotflow_rehearsal() -> Iterator[Rehearsal]:
    """Have no workflow of the test be reported, nor wait for delays; say what ran."""
    from dotflow.testing import rehearsal

    with rehearsal() as found:
        yield found
