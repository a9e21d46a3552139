"""Every block of the README and the docs runs, or says why not; its output is what is shown."""

from __future__ import annotations

import pytest
from support import blocks
from support.page_run import run_page


def every_page():
    """Each page that has a block, as a test; with the slow ones if it starts a process."""
    for page in blocks.pages():
        name = str(page.relative_to(blocks.ROOT))
        found = blocks.blocks(page)
        is_slow = any(one.is_run for one in found)
        if found:
            yield pytest.param(page, marks=[pytest.mark.slow] * is_slow, id=name)


@pytest.mark.parametrize("page", list(every_page()))
def test_a_page_does_what_it_says(page, tmp_path):
    """Its blocks, in order, each of which does what is shown below it."""
    for _ in run_page(page, tmp_path):
        pass


def test_every_block_is_run_or_marked():
    """Also on pages that run with the slow tests: no fence without a language, no idle mark."""
    for page in blocks.pages():
        blocks.check_marks(page)
        for block in blocks.blocks(page):
            blocks.check_syntax(block)


def test_what_is_not_run_is_told(record_property):
    """The report names each block that is left out, with the reason (tests/conftest.py)."""
    left_out = [one for page in blocks.pages() for one in blocks.blocks(page) if one.reason]
    for block in left_out:
        record_property("not run", f"{block}: {block.reason}")
