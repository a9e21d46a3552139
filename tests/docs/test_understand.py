"""The pages that say what is promised name the tests that prove it, and these tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["docs/security.md", "docs/understand/guarantees.md"]
PROOF = re.compile(r"\[`(test_\w+)`\]\(([\w./-]+\.py)\)")


@pytest.mark.parametrize("page", PAGES)
def test_each_proof_is_a_test(page):
    """A page that names a test as its proof names one of the file of the link, which CI runs."""
    file = ROOT / page
    proofs = PROOF.findall(file.read_text(encoding="utf-8"))
    assert len(proofs) > 5
    missing = [name for name, place in proofs if not is_run(name, file.parent / place)]
    assert not missing


def is_run(name, file):
    """Whether a file has a test of that name that is not only run by hand."""
    before, found, _ = file.read_text(encoding="utf-8").partition(f"def {name}(")
    return bool(found) and "mark.soak" not in before.rpartition("\n\n")[2]
