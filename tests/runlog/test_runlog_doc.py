"""docs/understand/run-log.md says what is really written: its examples are made by a program.

With DOTFLOW_TEST_WRITE_DOC=1 in the environment the page is written anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from support import run_log_doc
from support.fault_server import FaultServer

from dotflow.runlog import files, lines
from dotflow.runlog.claims import Claims
from dotflow.runlog.receipts import read_receipts

PAGE = Path(__file__).parent.parent.parent / "docs" / "understand" / "run-log.md"
NOBODY = "http://127.0.0.1:9"

SAME = [
    (r'"id":"[0-9a-f]{32}"', '"id":"416f346834995b495ddf4a923a37bac8"'),
    (r'"at":\d+', '"at":1795814128859339115'),
    (r'"up":\d+', '"up":4374927403964'),
    (r'"pid":\d+,"start":\d+', '"pid":10024,"start":437286'),
    (r'"space":"[^"]*","boot":"[^"]*"', '"space":"pid:[4026531836]","boot":"4aa483e7-bfb1-49aa"'),
    (r'"duration":[\d.e-]+', '"duration":0.029696162'),
    (r'"traceback": ?"(?:[^"\\]|\\.)*"', '"traceback": "Traceback (most recent call last): ..."'),
]  # fmt: skip


def run(url, is_flushed):
    """Run the example; the text of its log."""
    environment = {
        **os.environ, "PYTHONPATH": str(Path(run_log_doc.__file__).parent.parent),
        "DOTFLOW_FLUSH_TIMEOUT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "support.run_log_doc", url, is_flushed]
    subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)


def the_log():
    """The only segment that is there."""
    [[path]] = files.logs().values()
    return path


def normal(text):
    """A log without what differs from run to run."""
    for pattern, same in SAME:
        text = re.sub(pattern, same, text)
    return text


def block(name, text=None):
    """The example of a name on the page; written anew where that is asked for."""
    page = PAGE.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if text is not None and os.environ.get("DOTFLOW_TEST_WRITE_DOC"):
        fenced = f"```json\n{text}```\n"
        PAGE.write_text(pattern.sub(lambda found: found[1] + fenced + found[3], page, count=1))
        page = PAGE.read_text()
    return pattern.search(page)[2].removeprefix("```json\n").removesuffix("```\n")


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def test_the_example_is_what_is_written():
    """The log on the page is the program's, but for times and ids."""
    run(NOBODY, "no")
    text = normal(the_log().read_text())
    assert parsed(block("log", text)) == parsed(text)


def test_every_kind_and_field_is_described():
    """Each kind of line has its row, and each field that a line has is named on the page."""
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| `([a-z ]+)` \| (.*) \|$", page, re.MULTILINE))
    assert set(rows) == {*lines.KINDS, "log", "reader"}
    for text in block("log").splitlines():
        said = json.loads(text)
        common = {"f", "w", "r", "to"}
        assert {name for name in set(said) - common if f"`{name}`" not in rows[said["f"]]} == set()
    named = set(re.findall(r"`([a-z]+)`", " ".join(rows.values())))
    written = {name for text in block("log").splitlines() for name in json.loads(text)}
    assert named - written == {"said"}  # of a span, which only OpenTelemetry says


def test_the_kinds_of_the_example():
    """All kinds are in the example but those that only OpenTelemetry writes."""
    kinds = {json.loads(text)["f"] for text in block("log").splitlines()}
    assert kinds == {*lines.KINDS, "log", "reader"} - {lines.SPAN, lines.RECORD}


def test_receipts_are_as_described():
    """A receipt of a server that takes everything has the fields of the page, and no other."""
    server = FaultServer(strict=False)
    server.latency = 0.2  # so that something is left
    server.on("POST", lambda handler, seen: handler.answer(201, {"id": "srv-1"}, {}))
    try:
        run(server.url, "no")
    finally:
        server.close()
    [name] = [path.name for path in files.folder().iterdir() if path.suffix == files.RECEIPTS]
    found = read_receipts(the_log(), name.split(".")[1])
    described = [json.loads(text) for text in block("receipts").splitlines()]
    for receipt in found:
        [like] = [one for one in described if one["k"] == receipt["k"]]
        assert set(receipt) <= set(like)
        assert {"k", "w", "r", "m", "n", "key"} <= set(receipt)
    assert found


def test_claims_are_as_described():
    """The claims on the page are what is written."""
    files.make_folder()
    claims = Claims("a" * 32, "b" * 16)
    claims.claim(["nightly-1"], "416f346834995b495ddf4a923a37bac8")
    [path] = [one for one in files.folder().iterdir() if one.suffix == files.CLAIMS]
    text = path.read_text().lstrip("\n")
    assert parsed(block("claims", text)) == parsed(text)
