"""Which workflows other logs speak of: found whatever the lines are, and looked for once."""

from __future__ import annotations

import json

import pytest

from dotflow.delivery.dead import mentions
from dotflow.delivery.dead.mentions import Mentions
from dotflow.runlog import files

OWN, OTHER = "a" * 32, "b" * 32
IDS = [
    "w",
    "w-2",
    'a "quoted" one',
    "back\\slash\\",
    "ünïcödé",
    "tab\tand\nline",
    ',"w":"x"',
    "\ud800",
]


def line(workflow, context="short"):
    said = {"f": "task ended", "n": 1, "t": 1, "current": context, "w": workflow, "r": 1, "to": {}}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def write(log, *lines, segment=1):
    files.make_folder()
    with files.log_path(log, segment).open("ab") as file:
        file.write(b"".join(lines))
    files.log_path(log, segment).chmod(0o600)


def about(found, workflow):
    return [log for log, _ in found.logs_about(workflow, OWN)]


@pytest.mark.parametrize("workflow", IDS)
def test_an_id_is_found_as_it_is_written(workflow):
    """Whatever is in it; one that only begins or ends the same is another."""
    write(OTHER, line("another"), line(workflow))
    found = Mentions()
    assert about(found, workflow) == [OTHER]
    assert about(found, workflow[:-1] + "?") == []
    assert about(found, f"{workflow}2") == []


def test_one_s_own_log_is_not_asked_about():
    """And each log is named once, with all its files."""
    write(OWN, line("w"))
    write(OTHER, line("v"))
    write(OTHER, line("w"), line("w"), segment=2)
    [(log, segments)] = Mentions().logs_about("w", OWN)
    assert (log, len(segments)) == (OTHER, 2)


def test_lines_longer_than_a_portion(monkeypatch):
    """The id is at the end of a line, wherever the portions begin."""
    monkeypatch.setattr(mentions, "PORTION", 512)
    for length in range(1200, 1800, 7):
        write(OTHER, line(f"w{length}", "x" * length))
    found = Mentions()
    assert all(about(found, f"w{length}") == [OTHER] for length in range(1200, 1800, 7))


def test_what_was_looked_at_is_not_read_again(monkeypatch):
    """A thousand runs read a backlog once; what is new is seen, and what is gone forgotten."""
    write(OTHER, *[line(f"w{number}", "x" * 500) for number in range(1000)])
    read = []

    def counted(path, start=0, size=-1):
        data = real(path, start, size)
        read.append(len(data))
        return data

    real = files.read_file
    monkeypatch.setattr(files, "read_file", counted)
    found = Mentions()
    for number in range(1000):
        assert about(found, f"w{number}") == [OTHER]
    assert sum(read) <= files.log_path(OTHER, 1).stat().st_size
    assert about(found, "new") == []
    half = line("new")
    write(OTHER, half[:-20])
    assert about(found, "another") == []
    write(OTHER, half[-20:])
    assert about(found, "new") == [OTHER]
    files.log_path(OTHER, 1).unlink()
    assert about(found, "w1") == []
    assert found._found == {}
