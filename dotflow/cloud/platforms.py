"""The platforms that there are files for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import argparse


PLATFORMS = {
    "compose": "Docker Compose: a service for the run, and one for dotflow-api if asked for",
    "kubernetes": "Kubernetes: a Job, or a CronJob with a schedule, and its volume",
    "github": "GitHub Actions: a workflow file",
    "ecs": "ECS: a task definition for Fargate, its roles and a schedule",
    "codebuild": "CodeBuild: a project that runs the workflow, its role and a schedule",
    "lambda": "AWS Lambda: a function from an image, its role and a schedule",
}
"""What each is, by its name; the module of `lambda` is `lambda_`, for the word is Python's."""


class Platform(Protocol):
    """What the module of a platform has."""

    PLAN: type[Any]
    """`Plan`, or a class of its own with what only this platform asks."""

    OUT: str
    """The folder that is written to if no other is asked for."""

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        """Declare a flag for each field that its own plan has besides those of `Plan`."""

    @staticmethod
    def files(plan: Any) -> dict[str, str]:
        """What is to be written: texts by their paths, relative to the folder of `--out`."""

    @staticmethod
    def next_steps(plan: Any) -> list[str]:
        """What is to be done with the files: command lines, and comments that begin with '#'."""


def platform(name: str) -> Platform:
    """The module of a platform.

    Args:
        name: One of `PLATFORMS`.
    """
    module: Any = import_module(f"dotflow.cloud.{name.replace('lambda', 'lambda_')}")
    found: Platform = module
    return found
