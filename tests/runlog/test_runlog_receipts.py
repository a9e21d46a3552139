"""Receipts that cannot be written: what is said of it."""

from __future__ import annotations

import logging
import shutil

from dotflow.runlog import files
from dotflow.runlog.receipts import Receipts, SeenReceipts, read_receipts

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


def test_what_is_new_in_receipts_is_found():
    """Of each workflow what was said up to now, once whole lines are there; and which is done."""
    segment = files.make_folder() / f"{'a' * 32}-000001.log"
    receipts, seen = Receipts(segment, READER), SeenReceipts([segment], READER)
    assert seen.take("none") == []
    receipts.write([{"k": "said", "w": "a", "n": 1}, {"k": "said", "w": "b", "n": 2}])
    assert seen.done() == set()
    path = files.receipts_path(segment, READER)
    path.write_bytes(path.read_bytes() + b'\n{"k":"said","w":"a","n"')
    assert [one["n"] for one in seen.take("a")] == [1]
    path.write_bytes(path.read_bytes() + b":3}\n")
    receipts.write([{"k": "done", "w": "b"}, {"k": "done"}, {"k": "said", "w": "b", "n": 4}])
    assert seen.done() == {"b"}
    assert [one["k"] for one in seen.take("b")] == ["said", "done", "said"]
    assert [one["n"] for one in seen.take("a")] == [1, 3], "it was taken before, and goes on"
    receipts.close()
