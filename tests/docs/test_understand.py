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
    """A page that names a test as its proof names one that is in the file of the link."""
    file = ROOT / page
    proofs = PROOF.findall(file.read_text(encoding="utf-8"))
    assert len(proofs) > 5
    missing = [
        name
        for name, place in proofs
        if f"def {name}(" not in (file.parent / place).read_text(encoding="utf-8")
    ]
    assert not missing
