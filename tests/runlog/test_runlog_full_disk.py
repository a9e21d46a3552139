"""A full disk costs nothing of what is reported while the process lives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import full_disk
from support.fault_server import FaultServer
from support.processes import dies
from support.run_logs import KEY, NAME, ReadLog, began, line, numbers, on_disk
from support.truth import check_what_came

from dotflow.runlog import appender, files
from dotflow.runlog.writer import RunLog

IN_A_NAMESPACE = 'mount -t tmpfs -o size=64k none "$DOTFLOW_STATE_DIR" && exec "$@"'


def complaints(log):
    """What a log complains of, from now on."""
    said = []
    real = log._complaints._once

    def once(about, text, value):
        if about not in log._complaints._said:
            said.append(about)
        real(about, text, value)

    log._complaints._once = once
    return said


@pytest.mark.parametrize("limit", [1, 50_000, 150_000])
def test_a_run_whose_files_may_grow_no_further(limit):
    """The run goes on, there is one line at most, and a server is told all of it."""
    api = FaultServer()
    environment = {**os.environ, "PYTHONPATH": str(Path(full_disk.__file__).parent.parent)}
    command = [sys.executable, full_disk.__file__, api.url, str(limit)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        said = json.loads(done.stdout)
    finally:
        api.close()
    assert said["statuses"] == ["Completed"] * 20
    assert said["pending"] == 0
    # Where each file may have so many bytes, another file is all that is needed.
    assert len(said["warnings"]) == (0 if limit == 150_000 else 1)
    assert api.workflows[said["id"]]["status"] == "Completed"
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}
    assert {len(one["current_context"]) for one in api.tasks.values()} == {20_000}
    assert len(api.tasks) == 20
    assert check_what_came(api) > 40


@pytest.mark.parametrize("limit", [1, 30, 3000, 40_000])
def test_files_that_may_grow_no_further(limit):
    """Each line is read, whole and once; there is one line about it; what was on disk stays."""

    def work(say):
        full_disk.limit_files(limit)
        one = ReadLog()
        said = complaints(one.log)
        found = []
        for n in range(1, 501):
            one.log.append(line(n, text="x" * (n % 300)))
            if not n % 100:
                found += one.read()
        say((said, numbers(found)))

    said, found = dies(work)[0]
    assert said == ["disk"]
    assert sorted(found) == list(range(1, 501))
    kept, damaged = on_disk()
    assert damaged <= 1
    assert numbers(kept) == list(range(1, len(kept) + 1))


def test_a_torn_line_costs_no_other():
    """After a short write the next line is whole, whoever reads the file."""

    def work(say):
        one = ReadLog()
        one.log.append(line(1))
        size = one.log.segments[-1].path.stat().st_size
        full_disk.limit_files(size + 20)
        one.log.append(line(2))
        full_disk.make_room()
        one.log.append(line(3))
        one.log.append(line(4))
        say(sorted(numbers(one.read())))

    assert dies(work) == [[1, 2, 3, 4]]
    facts, damaged = on_disk()
    assert numbers(facts) == [1, 3, 4]
    assert damaged == 1


def test_room_that_is_made_is_used():
    """What the disk did not take is written at the next sign of life, and read once."""

    def work(say):
        one = ReadLog()
        one.log.append(line(1))
        full_disk.limit_files(one.log.segments[-1].path.stat().st_size + 20)
        one.log.append(line(2))
        one.log.append(line(3))
        found = one.read()
        one.log.beat()
        full_disk.make_room()
        one.log.append(line(4))
        one.log.beat()
        one.log.append(line(5))
        one.log.beat()
        found += one.read()
        say((sorted(numbers(found)), one.log.segments[-1].lines))

    (found, in_memory) = dies(work)[0]
    assert found == [1, 2, 3, 4, 5]
    assert in_memory == [None, None]
    facts, _ = on_disk()
    assert sorted(numbers(facts)) == [1, 2, 3, 4, 5]


def test_a_file_that_may_grow_no_further_is_followed_by_another():
    """Where one file may have so many bytes, and no more, the log goes on in the next."""

    def work(say):
        full_disk.limit_files(200_000)
        one = ReadLog()
        said = complaints(one.log)
        for n in range(1, 1001):
            one.log.append(line(n, text="x" * 500))
        say((said, len(one.log.segments)))

    (said, segments) = dies(work)[0]
    assert said == []
    assert segments == 3
    assert sorted(numbers(on_disk()[0])) == list(range(1, 1001))


def test_a_disk_that_could_not_be_written_is_tried_again(logs, monkeypatch, tmp_path, warnings):
    """From then on lines are on disk, with the runs that are under way."""
    monkeypatch.setattr(appender, "RETRY", 0.0)
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "late" / "state"))
    (tmp_path / "late").write_text("")
    one = logs()
    one.log.append(began())
    one.log.append(line(2))
    one.log.beat()
    assert not one.log.is_durable
    assert files.logs() == {}
    (tmp_path / "late").unlink()
    one.log.beat()
    one.log.append(line(3))
    assert one.log.is_durable
    assert sorted(numbers(on_disk()[0])) == [1, 3]
    assert sorted(set(numbers(one.read()))) == [1, 2, 3]
    assert len(warnings()) == 1


TMPFS = """
import sys
from support.run_logs import ReadLog, line, numbers
one = ReadLog()
found = []
for n in range(1, 401):
    one.log.append(line(n, text="x" * 400))
    if not n % 50:
        found += one.read()
assert sorted(numbers(found)) == list(range(1, 401)), numbers(found)
assert any(segment.waits for segment in one.log.segments)
print(one.log.segments[-1].path.stat().st_size)
"""


def test_a_disk_of_64_kilobytes(tmp_path):
    """The same with a disk that is really full."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare here")
    Path(os.environ["DOTFLOW_STATE_DIR"]).mkdir()
    prefix = [unshare, "--mount", "--map-root-user", "sh", "-c", IN_A_NAMESPACE, "sh"]
    probe = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no file system may be mounted here: {probe.stderr.strip()}")
    environment = {**os.environ, "PYTHONPATH": str(Path(full_disk.__file__).parent.parent)}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", TMPFS],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("WARNING") == 1
    assert 0 < int(done.stdout) < 65_537


def test_too_much_that_waits(logs, monkeypatch, warnings):
    """Beyond the limit interim facts are left out, ends are kept; there is one line."""
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "5000")
    one = logs()
    for n in range(1, 60):
        one.log.append(line(n, "task ended"))
    one.log.beat()
    for kind in ("attempt began", "attempt ended", "task retried", "task ended", "run ended"):
        one.log.append(line(100, kind))
    one.log.beat()
    assert [fact["f"] for fact in one.read()][59:] == ["task ended", "run ended"]
    assert one.log.left_out == 3
    assert len(warnings()) == 1
    assert "5000 bytes" in warnings()[0]


def test_the_end_is_written_where_there_is_room_at_last():
    """What waits in memory is written when the log is closed, for the next process."""

    def work(say):
        log = RunLog()
        log.read_by(KEY, NAME)
        log.append(line(1))
        full_disk.limit_files(log.segments[-1].path.stat().st_size)
        log.append(line(2))
        full_disk.make_room()
        log.close()
        say(True)

    assert dies(work) == [True]
    assert sorted(numbers(on_disk()[0])) == [1, 2]
