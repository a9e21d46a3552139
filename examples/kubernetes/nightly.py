"""A Kubernetes job for a workflow that dotflow-api has already (the managed mode).

If the pod is evicted or deleted, Kubernetes sends SIGTERM: the step under way and the run are
Failed with that reason, and dotflow delivers the reports within the grace period. The next pod
goes on where this pod stopped, because results and run log are on a volume.

    kubectl apply -f examples/kubernetes/job.yaml

On your own machine, with a dotflow-api at http://127.0.0.1:8000:

    export SERVER_BASE_URL=http://127.0.0.1:8000 SERVER_USER_TOKEN=t WORKFLOW_ID=nightly-1
    (cd examples/kubernetes && dotflow start --workflow nightly:pipeline --resume)
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from dotflow import Config, DotFlow, action
from dotflow.providers import StorageFile

FOLDER = Path(os.environ.get("RESULTS", ".nightly"))


@action
def extract() -> list[int]:
    """Do the quick part, which need not be done twice."""
    (FOLDER / "extracted").open("a").write("once\n")
    return [1, 2, 3]


@action
def transform(previous_context: Any) -> int:
    """Do the part that takes long."""
    (FOLDER / "transforming").touch()
    time.sleep(float(os.environ.get("TRANSFORM_SECONDS", "600")))
    return sum(previous_context.storage)


def pipeline() -> DotFlow:
    """The workflow; its id, the server and the token are in the environment."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    workflow = DotFlow(config=Config(storage=StorageFile(path=FOLDER)), name="nightly")
    workflow.task.add([extract, transform])
    return workflow
