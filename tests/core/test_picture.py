"""What notebooks show of tasks, workflows and runs."""

from __future__ import annotations

import subprocess
import sys

from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault


@action
def fine():
    return 1


@action(retry=2, retry_delay=0)
def bad():
    raise ValueError("no luck")


def flow_of(*groups, name="etl"):
    flow = DotFlow(config=Config(log=LogDefault(level="CRITICAL")), name=name)
    for group, steps in groups:
        flow.task.add(steps, group_name=group)
    return flow


def test_a_workflow_is_shown_before_and_after_its_run():
    """Before it runs nothing has a bar; afterwards the failed task names its error."""
    flow = flow_of(("default", [fine, bad, fine]))
    before = flow._repr_html_()
    assert before.count("<rect") == 0
    assert before.count(">Not started<") == 3
    run = flow.start()
    for page in (flow._repr_html_(), run._repr_html_()):
        assert ">fine<" in page
        assert "ValueError, 2 attempts" in page
        assert page.count("<rect") == 3
    assert flow._repr_html_().count(">Not started<") == 1
    assert f"{flow.workflow_id}): Failed" in run._repr_html_()
    assert "task 2: bad" in flow.task.queue[1]._repr_html_()


def test_tasks_are_shown_by_group_and_secrets_are_masked():
    """A group that is added to in turns is one; a credential in a name is not shown."""
    flow = flow_of(("north", fine), ("south", fine), ("north", fine), name="api_key=hunter2hunter2")
    page = flow._repr_html_()
    assert page.count(">north</text>") == page.count(">south</text>") == 1
    assert "hunter2" not in page


def test_no_program_pays_for_it():
    """A run loads nothing of the pictures."""
    program = (
        "import sys, dotflow\n"
        "@dotflow.action\ndef step(): return 1\n"
        "flow = dotflow.DotFlow(); flow.task.add(step); flow.start()\n"
        "sys.exit(any(one.startswith(('dotflow.waterfall', 'dotflow.core.picture'))"
        " for one in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
