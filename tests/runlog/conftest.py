"""What the tests of run logs share."""

from __future__ import annotations

import pytest
from support.run_logs import ReadLog


@pytest.fixture
def logs():
    """Makes logs, each with its readers, and closes them all."""
    made = []

    def make(*names):
        made.append(ReadLog(*names))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def warnings(caplog):
    """The warnings so far."""
    return lambda: [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
