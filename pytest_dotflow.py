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


@pytest.fixture
def dotflow_rehearsal() -> Iterator[Rehearsal]:
    """Have no workflow of the test be reported, nor wait for delays; say what ran."""
    from dotflow.testing import rehearsal

    with rehearsal() as found:
        yield found
