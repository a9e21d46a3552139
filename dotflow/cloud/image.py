"""The images that the files name."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from dotflow.cloud.plan import STATE, USER
from dotflow.version import __version__

if TYPE_CHECKING:
    from dotflow.cloud.plan import Plan

NAME = "Dockerfile"
API_NAME = "Dockerfile.api"
API_PORT = 8000

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


def api_image_files() -> dict[str, str]:
    """The Dockerfile of dotflow-api."""
    return {API_NAME: api_dockerfile(f"RUN pip install 'dotflow[postgres]=={__version__}'")}


def build_step(plan: Plan, name: str = NAME) -> str:
    """The command line that builds the image, in the project's folder.

    Args:
        plan: What is to run.
        name: The Dockerfile.
    """
    return f"docker build --file {shlex.quote(plan.path(name))} --tag {plan.image} ."


def requirement(plan: Plan, *extras: str) -> str:
    """What pip installs, as its command line has it.

    Args:
        plan: What is to run.
        extras: The extras of dotflow that it needs there.
    """
    if plan.requirements == "requirements.txt":
        return "-r requirements.txt"
    return "." if plan.requirements else f"'{_dotflow(extras)}=={__version__}'"


def _dotflow(extras: tuple[str, ...]) -> str:
    return f"dotflow[{','.join(extras)}]" if extras else "dotflow"


def push_step(plan: Plan) -> str:
    """The command line that brings the image to where the platform gets it.

    Args:
        plan: What is to run.
    """
    if "/" in plan.image:
        return f"docker push {plan.image}"
    return f"# '--image REGISTRY/{plan.image}' would say where the platform gets it from"


def api_dockerfile(lines: str) -> str:
    """The text of a Dockerfile of dotflow-api.

    Args:
        lines: What installs it.
    """
    health = (
        f"import urllib.request as u; u.urlopen('http://127.0.0.1:{API_PORT}/healthz', timeout=4)"
    )
    command = ["dotflow", "api", "--host", "0.0.0.0", "--port", str(API_PORT)]  # noqa: S104
    return f"""\
# syntax=docker/dockerfile:1
# dotflow-api, with its records on the volume at {STATE}; DOTFLOW_API_TOKEN is its token.
{_base("3.13")}
{lines}

EXPOSE {API_PORT}
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \\
    CMD {json.dumps(["python", "-c", health])}

USER {USER}:{USER}
CMD {json.dumps([*command, "--database", f"sqlite:///{STATE}/api.db", "--keep", "90d"])}
"""


def _base(python: str) -> str:
    return f"""\
FROM python:{python}-slim

ENV PYTHONUNBUFFERED=1 \\
    PYTHONDONTWRITEBYTECODE=1 \\
    PIP_DISABLE_PIP_VERSION_CHECK=1 \\
    PIP_NO_CACHE_DIR=1

# Not root; a new volume gets the owner of the folder that it is mounted over.
RUN groupadd --gid {USER} app \\
    && useradd --uid {USER} --gid app --home-dir {STATE} --no-create-home app \\
    && install --directory --owner app --group app {STATE}

WORKDIR /app"""


def _dockerfile(plan: Plan, extras: tuple[str, ...]) -> str:
    return f"""\
# syntax=docker/dockerfile:1
# The image of {plan.workflow}. In the project's folder:
#   {build_step(plan)}
{_base(plan.python)}
{installed(plan, *extras)}
# An image without dotflow ends here, and not at night.
RUN dotflow --version

USER {USER}:{USER}

# Words and no shell, which would keep SIGTERM to itself.
CMD {json.dumps(plan.command, ensure_ascii=False)}
"""


def installed(plan: Plan, *extras: str) -> str:
    """The lines of a Dockerfile that install what the workflow needs, and put it there.

    Args:
        plan: What is to run.
        extras: The extras of dotflow that it needs there.
    """
    install = f"RUN pip install {requirement(plan, *extras)}\n"
    if plan.requirements == "requirements.txt":
        reason = f"# {_dotflow(extras)} is among them. What changes seldom comes first."
        return f"{reason}\nCOPY requirements.txt ./\n{install}COPY . .\n"
    if plan.requirements:
        return f"# {_dotflow(extras)} is among the project's own.\nCOPY . .\n{install}"
    return f"{install}COPY . .\n"
