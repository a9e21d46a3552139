"""One task costs no more calls and writes on the workflow's thread than the table says."""

from __future__ import annotations

import pytest
from steady_measure import CASES, PROGRAM, measure
from steady_table import Cost, complaints, limits_of, read_table, versions, write_table

HELP = "If it is worth it: .venv/bin/python tests/steady/steady_measure.py --write"

PLANTED = f"""
import sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import os
import steady_program
from dotflow.core.engine import TaskEngine

run_step = TaskEngine._begin

def planted(number):
    os.write(descriptor, b"a line")

def dearer(self):
    for number in range(40):
        planted(number)
    return run_step(self)

descriptor = os.open(os.devnull, os.O_WRONLY)
TaskEngine._begin = dearer
steady_program.main()
"""


@pytest.mark.parametrize("case", CASES)
def test_no_case_is_dearer(case):
    """A task costs what the table says, or less; else the test names what is called more."""
    table = read_table()
    exact = table.is_of_these_versions
    said = complaints(table.cases[case], measure(case, times=1), exact)
    if said:  # once may be by chance: a relay that was slow to take, an exporter that was woken
        said = complaints(table.cases[case], measure(case), exact)
    assert not said, "\n".join([f"a task of the case {case!r} is dearer", *said, HELP])


def test_the_table_has_every_case():
    """The table has each case that is measured, and no other."""
    assert sorted(read_table().cases) == sorted(CASES)


def test_a_dearer_engine_is_found(tmp_path):
    """A function that the engine calls 40 times more is found and named, and so are its writes."""
    program = tmp_path / "planted.py"
    program.write_text(PLANTED, encoding="utf-8")
    now = measure("nolog", times=1, program=program)
    said = complaints(read_table().cases["nolog"], now, exact=True)
    assert "planted.py:planted: 0 -> 40" in said
    assert "os.write: 0 -> 40" in said
    assert any(line.startswith("calls: ") for line in said)
    assert any(line.startswith("writes: 40 a task") for line in said)


def _written(tmp_path, cost):
    path = tmp_path / "limits.json"
    write_table({"one": cost}, path)
    return read_table(path)


def test_ten_percent_are_allowed(tmp_path):
    """With the recorded versions 110 calls pass for 100 and 111 do not; with others 125 do."""
    table = _written(tmp_path, Cost({"dotflow/a.py:f": 100}, {}))
    case = table.cases["one"]

    def said(calls, exact):
        return complaints(case, Cost({"dotflow/a.py:f": calls}, {}), exact)

    assert table.versions == versions()
    assert table.is_of_these_versions
    assert said(110, exact=True) == []
    assert said(111, exact=True)[1:] == ["dotflow/a.py:f: 100 -> 111"]
    assert said(125, exact=False) == []
    assert len(said(126, exact=False)) == 1


def test_a_new_file_on_the_way_is_named(tmp_path):
    """A file of dotflow that a task did not pass through before is named."""
    case = _written(tmp_path, Cost({"dotflow/a.py:f": 10}, {"stream.write": 2})).cases["one"]
    now = Cost({"dotflow/a.py:f": 9, "dotflow/b.py:g": 1}, {"stream.write": 2})
    said = complaints(case, now, exact=True)
    assert said[0].startswith("files: 2 a task")
    assert said[1:] == ["dotflow/b.py:g: 0 -> 1", "dotflow/b.py: new on the way"]


def test_other_cases_stay_in_the_table(tmp_path):
    """A table of which one case is written anew keeps its others."""
    path = tmp_path / "limits.json"
    write_table({"one": Cost({"f": 1}, {}), "other": Cost({"f": 2}, {"os.write": 1})}, path)
    write_table({"one": Cost({"f": 3}, {})}, path)
    cases = read_table(path).cases
    assert cases["one"].cost == Cost({"f": 3}, {})
    assert cases["other"].cost == Cost({"f": 2}, {"os.write": 1})
    assert cases["other"].limits == limits_of(cases["other"].cost)
