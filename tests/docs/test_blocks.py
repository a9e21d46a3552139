"""Every block of the README and the docs runs, or says why not; its output is what is shown."""

from __future__ import annotations

import pytest
from support import blocks
from support.page_run import run_page

"""Pages whose blocks are still to be mended."""


def every_page():
    """Each page that has a block, as a test; with the slow ones if it starts a process."""
    for page in blocks.pages():
        name = str(page.relative_to(blocks.ROOT))
        found = blocks.blocks(page)
        is_slow = any(one.is_run for one in found)
        if found and name not in NOT_YET:
            yield pytest.param(page, marks=[pytest.mark.slow] * is_slow, id=name)


@pytest.mark.parametrize("page", list(every_page()))
def test_a_page_does_what_it_says(page, tmp_path):
    """Its blocks, in order, each of which does what is shown below it."""
    for _ in run_page(page, tmp_path):
        pass


def test_every_block_is_run_or_marked():
    """Also on pages that run with the slow tests: no fence without a language, no idle mark."""
    for page in blocks.pages():
        if str(page.relative_to(blocks.ROOT)) not in NOT_YET:
            blocks.check_marks(page)
            for block in blocks.blocks(page):
                blocks.check_syntax(block)


def test_pages_that_are_to_be_mended_are_there():
    """A page that is gone, or that does what it says, leaves the list above."""
    names = {str(page.relative_to(blocks.ROOT)) for page in blocks.pages()}
    assert set(NOT_YET) <= names


def test_what_is_not_run_is_told(record_property):
    """The report names each block that is left out, with the reason (tests/conftest.py)."""
    left_out = [one for page in blocks.pages() for one in blocks.blocks(page) if one.reason]
    for block in left_out:
        record_property("not run", f"{block}: {block.reason}")
