"""A program that answers as Amazon does: moto's server, and what it lacks of CodeBuild.

It says its address in the first line.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from moto.codebuild import responses
from moto.server import ThreadedMotoServer


def with_no_source(check: Any) -> Any:
    """Amazon's own asks a project without a source for no location."""

    def checked(source: dict[str, Any]) -> None:
        if source.get("type") != "NO_SOURCE":
            check(source)

    return checked


def update_project(self: Any) -> Any:
    """Moto has no such call: what is given takes the place of what is there."""
    wanted = json.loads(self.body)
    project = self.codebuild_backend.codebuild_projects[wanted["name"]]
    project.project_metadata.update(wanted)
    return responses.ActionResult({"project": project.project_metadata})


responses._validate_required_params_source = with_no_source(
    responses._validate_required_params_source
)
responses.CodeBuildResponse.update_project = update_project

if __name__ == "__main__":
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    threading.Event().wait()
