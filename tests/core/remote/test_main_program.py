"""Steps and values that a script itself defines, on workers that know it and that do not."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("main_program.py")

EXPECTED = {
    "statuses": ["Completed", "Completed", "Failed", "Completed"],
    "made": [True, 42],
    "values": [42, True],
    "both": 6,
    "errors": [[1, "__main__.OwnError", "mine"], [None, "__main__.OwnError", "mine"]],
    "causes": [True, True],
    "lines": [True, True],
    "elsewhere": True,
    "called": "Completed Thing",
    "failures": {},
}


def run(folder, kind, **more):
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent), **more}
    program = [sys.executable, "-W", "error::RuntimeWarning", str(PROGRAM), kind]
    ran = subprocess.run(
        program,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("kind", ["spawn", "loky", "programs"])
def test_all_of_it_comes_there_and_back(tmp_path, kind):
    """Classes come back as those of the script, errors with the lines where they were raised."""
    assert run(tmp_path, kind) == EXPECTED


def test_without_cloudpickle(tmp_path):
    """Processes that know the script need none; for others a step is refused, with the remedy."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['cloudpickle'] = None\n")
    paths = f"{tmp_path}{os.pathsep}{PROGRAM.parent}"
    assert run(tmp_path, "fork", PYTHONPATH=paths) == EXPECTED
    said = run(tmp_path, "programs", PYTHONPATH=paths)
    assert said["statuses"] == ["Failed"] * 4
    messages = [message for _, _, message in said["errors"]]
    assert all("cannot be sent to its worker" in one for one in messages)
    assert all("install cloudpickle" in one for one in messages)
    assert "step 'make'" in messages[0]


CELLS = [
    """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dotflow import DotFlow, action
pools = [ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(kind)) for kind in METHODS]
for pool in pools:
    pool.submit(len, "").result()
""",
    """
class Thing:
    pass

@action
def made():
    thing = Thing()
    thing.value = 3
    return thing

@action
def reads(previous_context):
    return [previous_context.storage.value, isinstance(previous_context.storage, Thing)]

said = []
for pool in pools:
    flow = DotFlow()
    flow.task.add([made, reads])
    manager = flow.start(mode="sequential_group", executor=pool)
    said.append([manager.ok, type(flow.result_storage()[0]) is Thing, flow.result_storage()[1]])
    pool.shutdown()
said
""",
]


def test_a_notebook(tmp_path):
    """Its cells are known to no process: neither to one that was there before they were run."""
    methods = ["fork", "spawn"]
    cells = [f"METHODS = {methods}", *CELLS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (said,) = [one for one in notebook.cells[-1].outputs if one.output_type == "execute_result"]
    assert ast.literal_eval(said.data["text/plain"]) == [[True, True, [3, True]]] * len(methods)
