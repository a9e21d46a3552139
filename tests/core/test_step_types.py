"""A type checker sees through `@action`: a step keeps the type of its function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dotflow

PROGRAM = """
from typing_extensions import assert_type

from dotflow import Context, DotFlow, Task, action


@action
def add(n: int, more: int = 1) -> int:
    return n + more


@action(retry=3, timeout=1.5, retry_delay=0.5, backoff=True)
def total(previous_context: Context) -> list[str]:
    return [str(previous_context.storage)]


@action
async def later(n: int) -> str:
    return str(n)


@action
class Report:
    def __init__(self, title: str) -> None:
        self.title = title

    @action
    def pages(self, previous_context: Context) -> int:
        return len(self.title)

    @action(retry=2)
    def words(self) -> str:
        return self.title


async def main() -> None:
    assert_type(await later(3), str)
    assert_type((await DotFlow().start_async(mode="parallel")).failed_tasks, list[Task])


assert_type(add(3), int)
assert_type(add(n=3, more=4), int)
add("3")  # type: ignore[arg-type]
add(3, much=4)  # type: ignore[call-arg]
add()  # type: ignore[call-arg]
assert_type(total(previous_context=Context(1)), list[str])
total(1)  # type: ignore[arg-type]
report = Report("x")
assert_type(report.pages(Context(1)), int)
assert_type(report.words(), str)
report.words(1)  # type: ignore[call-arg]
assert_type(add.name, str)
assert_type(add.retry, int)
action(retry="3")  # type: ignore[call-overload]
action(tries=3)  # type: ignore[call-overload]

workflow = DotFlow()
workflow.task.add(step=[add, total, later, Report])
manager = workflow.start(mode="parallel", keep_going=True, raise_on_failure=True)
assert_type(manager.ok, bool)
assert_type(manager.duration, float | None)
assert_type(manager.wait(5), bool)
workflow.start(mod="parallel")  # type: ignore[call-arg]
workflow.schedule(mod="parallel")  # type: ignore[call-arg]
workflow.task.add(steps=add)  # type: ignore[call-arg]
"""


def test_a_step_keeps_its_functions_type(tmp_path):
    """mypy knows parameters and results of steps and runs, and refuses a wrong call of them."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", program],
        capture_output=True, text=True, timeout=500, check=False,
        cwd=Path(dotflow.__file__).parent.parent,
    )  # fmt: skip
    assert done.stdout + done.stderr == ""
