"""One trace, whatever runs the step and whatever becomes of it."""

from __future__ import annotations

import pytest
from conformance_cells import CELLS, NOT_YET
from conformance_checks import Trace
from conformance_table import PAGE, below, expected, table

pytestmark = pytest.mark.slow


def _cell(row, outcome):
    reason = NOT_YET.get((row.name, outcome.name))
    marks = [] if reason is None else [pytest.mark.xfail(strict=True, reason=reason)]
    return pytest.param(row, outcome, id=f"{row.key}-{outcome.key}", marks=marks)


@pytest.mark.parametrize(("row", "outcome"), [_cell(*cell) for cell in CELLS])
def test_the_trace_is_whole(row, outcome, rows):
    """One trace and one root, nothing lost, orphaned or twice, outcome and times true."""
    Trace(rows(row), row, outcome).check()


def test_the_page_says_what_the_suite_checks():
    """docs/understand/conformance.md has the rows, columns and cells of this suite."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    wanted = [*table(expected()), *below(expected())]
    assert [line for line in wanted if line and line not in lines] == [], (
        "run the suite with DOTFLOW_TEST_WRITE_CONFORMANCE=1: it writes the page"
    )
    assert len([line for line in lines if line.startswith("|")]) == len(table(expected()))
