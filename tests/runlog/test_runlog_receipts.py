"""Receipts that cannot be written: what is said of it."""

from __future__ import annotations

import logging
import shutil

from dotflow.runlog import files
from dotflow.runlog.receipts import Receipts, read_receipts

READER = "0123456789abcdef"


def test_a_worse_fault_is_said_after_a_mild_one(caplog):
    """A folder that is gone is a line of INFO; what is worse, and comes then, a WARNING."""
    caplog.set_level(logging.INFO, "dotflow")
    segment = files.make_folder() / f"{'a' * 32}-000001.log"
    receipts = Receipts(segment, READER)
    shutil.rmtree(files.folder())
    for _ in range(3):
        assert not receipts.write([{"k": "said"}])
    assert [one.levelname for one in caplog.records] == ["INFO"]
    files.make_folder()
    files.receipts_path(segment, READER).mkdir()
    for _ in range(3):
        assert not receipts.write([{"k": "said"}])
    assert [one.levelname for one in caplog.records] == ["INFO", "WARNING"]
    files.receipts_path(segment, READER).rmdir()
    assert receipts.write([{"k": "said"}])
    assert read_receipts(segment, READER) == [{"k": "said"}]
    receipts.close()
