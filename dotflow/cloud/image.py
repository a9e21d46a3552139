"""The images that the files name."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from dotflow.cloud.plan import STATE, USER

if TYPE_CHECKING:
    from dotflow.cloud.plan import Plan

NAME = "Dockerfile"
API_NAME = "Dockerfile.api"
API_PORT = 8000
NAME_OF_PACKAGE = "dotflow"
WHEEL = "dotflow-*.whl"
CLONE = "a clone of dotflow's repository"
OTHERS = (
    "The public index has another package of this name: this one comes from a wheel, or a clone."
)
_NAMED = re.compile(r"dotflow\s*($|[=<>!~@;])")

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


def api_image_files(plan: Plan) -> dict[str, str]:
    """The Dockerfile of dotflow-api.

    Args:
        plan: What is to run, beside it.
    """
    return {API_NAME: api_dockerfile(_of_dotflow(plan, "postgres").rstrip("\n"))}


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
    own = [shlex.quote(with_extras(plan.install, _text(extras)))] if plan.install else []
    if plan.requirements:
        named = "-r requirements.txt" if plan.requirements == "requirements.txt" else "."
        return " ".join([*own, named])
    return own[0] if own else shlex.quote(plan.path("")) + f"/{WHEEL}"


def needs_wheel(plan: Plan) -> bool:
    """Whether the wheel of dotflow is installed that is put beside the files."""
    return not plan.install and not plan.requirements


def wheel_step(plan: Plan) -> str:
    """The command line that puts it there.

    Args:
        plan: What is to run.
    """
    return f"pip wheel --no-deps --wheel-dir {shlex.quote(plan.folder)} CLONE  # CLONE: {CLONE}"


def _of_dotflow(plan: Plan, *extras: str) -> str:
    """The lines that install dotflow alone."""
    extra = _text(extras)
    if plan.install:
        return f"RUN pip install {shlex.quote(with_extras(plan.install, extra))}\n"
    copied = json.dumps([plan.path(WHEEL), "/tmp/"])  # noqa: S108 - within the image
    return f"""\
# {OTHERS}
#   {wheel_step(plan)}
# '--install REQUIREMENT' of 'dotflow cloud' names where pip gets it from instead.
COPY {copied}
# hadolint ignore=DL3013
RUN for wheel in /tmp/{WHEEL}; do pip install "${{wheel}}{extra}"; done
"""


def _text(extras: tuple[str, ...]) -> str:
    return f"[{','.join(extras)}]" if extras else ""


def with_extras(install: str, extra: str) -> str:
    """A requirement that names extras too, if it names none.

    Args:
        install: As pip reads it.
        extra: As "[scheduler]".
    """
    if not extra or "[" in install:
        return install
    if _NAMED.match(install):
        return install.replace(NAME_OF_PACKAGE, f"{NAME_OF_PACKAGE}{extra}", 1)
    if "://" in install:
        return f"{NAME_OF_PACKAGE}{extra} @ {install}"
    return f"{install}{extra}"  # a file, or a folder


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
# An image without this dotflow ends here, and not at night.
RUN dotflow doctor --help > /dev/null

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
    if not plan.requirements:
        return f"{_of_dotflow(plan, *extras)}COPY . .\n"
    name = f"{NAME_OF_PACKAGE}{_text(extras)}"
    install = f"RUN pip install {requirement(plan, *extras)}\n"
    if plan.requirements == "requirements.txt":
        reason = f"# {name} is among them. What changes seldom comes first."
        return f"{reason}\n# {OTHERS}\nCOPY requirements.txt ./\n{install}COPY . .\n"
    return f"# {name} is among the project's own.\n# {OTHERS}\nCOPY . .\n{install}"
