"""The image of dotflow-api that is built here is the one that the files of others build."""

from __future__ import annotations

from pathlib import Path

from dotflow.cloud.image import api_dockerfile

FOLDER = Path(__file__).parent.parent.parent / "docker"
OF_SOURCE = "RUN --mount=type=bind,target=/src,rw pip install '/src[postgres]'"


def test_the_same_image():
    """Only where dotflow comes from is another."""
    assert (FOLDER / "api.Dockerfile").read_text() == api_dockerfile(OF_SOURCE)
