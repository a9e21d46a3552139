"""A step that changes the working folder: each relative path is that of where the run began."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, StorageFile

@action
def first():
    os.chdir("elsewhere")
    print("first ran")
    return {"one"}

@action
def second(previous_context):
    print("second ran")
    return sorted(previous_context.storage)

if __name__ == "__main__":
    config = Config(
        storage=StorageFile(path=".out"), server=ServerOtel(),
        log=LogDefault(output="file", path="log/x.log"),
    )
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add([first, second])
    manager = flow.start(mode=sys.argv[1], resume=True)
    if sys.argv[1] == "background":
        manager.thread.join()
    print([task.status for task in flow.task.queue], flow.result_storage())
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "background", "sequential_group"])
def test_relative_paths(mode):
    """Results, log lines and the run log are where the run began, and a later run finds them."""
    Path("prog.py").write_text(PROGRAM)
    Path("elsewhere").mkdir()
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "prog.py", mode],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={
                **os.environ,
                "DOTFLOW_STATE_DIR": "state",
                "DOTFLOW_SERVER_URL": "http://127.0.0.1:1",
                "DOTFLOW_USER_TOKEN": "t",
                "DOTFLOW_FLUSH_TIMEOUT": "0",
            },
        )
        said.append(done.stdout.splitlines())
    end = "['Completed', 'Completed'] [{'one'}, ['one']]"
    assert said == [["first ran", "second ran", end], [end]]
    assert list(Path("elsewhere").iterdir()) == []
    assert {file.name for file in Path(".out/tasks").iterdir()} >= {"w-1.json", "w-2.json"}
    lines = Path("log/x.log").read_text().splitlines()
    assert len(lines) == 10  # six turns, then four of a run that restores both
    assert list(Path("state/runlog").glob("*.log"))
