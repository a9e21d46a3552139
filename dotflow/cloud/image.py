"""The images that the files name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dotflow.cloud.plan import STATE, USER
from dotflow.version import __version__

if TYPE_CHECKING:
    from dotflow.cloud.plan import Plan

NAME = "Dockerfile"

IGNORED = """\
# What the image does not need, or must not have.
.git
.github
.venv*
**/__pycache__
**/*.egg-info
.env*
.output
*.db*
"""


def image_files(plan: Plan, *extras: str) -> dict[str, str]:
    """The Dockerfile of the workflow, and what it leaves out.

    Args:
        plan: What is to run.
        extras: The extras of dotflow that it needs there.
    """
    return {NAME: _dockerfile(plan, extras), f"{NAME}.dockerignore": IGNORED}


def build_step(plan: Plan, name: str = NAME) -> str:
    """The command line that builds the image, in the project's folder.

    Args:
        plan: What is to run.
        name: The Dockerfile.
    """
    return f"docker build --file {plan.path(name)} --tag {plan.image} ."


def _dockerfile(plan: Plan, extras: tuple[str, ...]) -> str:
    return f"""\
# syntax=docker/dockerfile:1
# The image of {plan.workflow}. In the project's folder:
#   {build_step(plan)}
FROM python:{plan.python}-slim

ENV PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PIP_DISABLE_PIP_VERSION_CHECK=1 \\
    PIP_NO_CACHE_DIR=1

# Not root; a new volume gets the owner of the folder that it is mounted over.
RUN groupadd --gid {USER} app \\
    && useradd --uid {USER} --gid app --home-dir {STATE} --no-create-home app \\
    && install --directory --owner app --group app {STATE}

WORKDIR /app
{_installed(plan, extras)}
# An image without dotflow ends here, and not at night.
RUN dotflow --version

USER {USER}:{USER}

# Words and no shell, which would keep SIGTERM to itself.
CMD {json.dumps(plan.command, ensure_ascii=False)}
"""


def _installed(plan: Plan, extras: tuple[str, ...]) -> str:
    named = f"dotflow[{','.join(extras)}]" if extras else "dotflow"
    if plan.requirements == "requirements.txt":
        return f"""\
# {named} is among them. What changes seldom comes first, and is built once.
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY . .
"""
    if plan.requirements:
        return f"""\
# {named} is among the project's dependencies.
COPY . .
RUN pip install .
"""
    return f"""\
RUN pip install '{named}=={__version__}'
COPY . .
"""
