"""Programs whose steps do what ends badly for files, locks and processes of a library."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from dotflow import Config, DotFlow, action
from dotflow.providers import ServerDefault

opened = []


def between_calls():
    """Wait until no thread looks up a host: what C opens meanwhile, it closes by its number."""
    time.sleep(0.2)


@action
def closes_all():
    between_calls()
    os.closerange(3, 1024)
    opened.extend(open(f"mine{i}.txt", "w+") for i in range(12))  # noqa: PTH123, SIM115
    return "ok"


@action
def opens_high():
    between_calls()
    os.closerange(3, 1024)
    fds = [0]
    while fds[-1] < 520:
        fds.append(os.open("theirs.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND))
    return "ok"


@action
def writes():
    for index, file in enumerate(opened):
        file.write(f"only my own line {index}\n")
        file.flush()
    return "written"


@action
def forks_and_exits():
    pid = os.fork()
    if not pid:
        sys.exit(0)
    os.waitpid(pid, 0)
    return "parent done"


@action
def forks_and_closes():
    pid = os.fork()
    if not pid:
        os.closerange(3, 1024)
        sys.exit(0)
    os.waitpid(pid, 0)
    return "parent done"


@action
def removes_folder():
    import shutil

    for _ in range(5):  # other threads may make files in the midst of it
        shutil.rmtree(os.environ["DOTFLOW_STATE_DIR"], ignore_errors=True)
    return "removed"


@action
def changes_folder():
    with contextlib.suppress(FileExistsError):
        os.mkdir("elsewhere")  # noqa: PTH102
    os.chdir("elsewhere")
    return "there"


@action
def after():
    return "after"


CASES = {
    "closes all": [closes_all, writes, writes],
    "opens high": [opens_high, after, after],
    "forks and exits": [forks_and_exits, after],
    "forks and closes": [forks_and_closes, after],
    "removes folder": [removes_folder, after, after],
    "changes folder": [changes_folder, after, after],
    "plain": [after],
}


def main(case, url, mode):
    server = ServerDefault(url, "s3cr3t-t0ken")
    workflow = DotFlow(config=Config(server=server))
    for step in CASES[case]:
        workflow.task.add(step)
    workflow.start(mode=mode)
    said = json.dumps({
        "id": str(workflow.workflow_id), "statuses": [one.status for one in workflow.task.queue],
        "complete": server.flush(0.5 if url.endswith(":9") else 20).complete,
    })  # fmt: skip
    os.write(1, said.encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
