"""What is to run somewhere, and how: what the files of every platform say."""

from __future__ import annotations

import math
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from dotflow.core.types import TypeExecution
from dotflow.utils.masking import masked, verdict
from dotflow.utils.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

STATE = "/var/lib/dotflow"
"""Where the volume is: the run log is in `state` of it, results in `results`."""

USER = 10001
"""The number of the user that the images run as."""

RUN = "WORKFLOW_ID"
PAIRS = {
    "managed": ("SERVER_BASE_URL", "SERVER_USER_TOKEN"),
    "default": ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN"),
}
"""The variables with address and token of dotflow-api, by the dialect that they stand for."""

ADDRESSES, TOKENS = zip(*PAIRS.values(), strict=True)
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
LONGEST_NAME = 52  # Kubernetes adds 11 characters to the name of a CronJob, and takes 63
LONGEST_ID = 255
LEAST_PROCESSES = 4  # of a parallel run, as everywhere
API = "dotflow-api"
HERE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - an address that is refused
MODES = (TypeExecution.SEQUENTIAL, TypeExecution.SEQUENTIAL_GROUP, TypeExecution.PARALLEL)
PROTOCOLS = ("http/protobuf", "grpc")

_IMPORT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/@-]*", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"[a-z0-9]([\w./-]*\w)?", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][\w+/-]*", re.ASCII)
_PYTHON = re.compile(r"3\.\d+", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9*/,-]+")
FIELDS = 5
_PORTIONS = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}  # fmt: skip


class PlanError(ValueError):
    """Something in a plan that no platform takes; the message says what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to run, and what it needs.

    A platform that needs to know more derives a class from it, with further fields.

    Args:
        workflow: The import string of what returns the workflow, as "etl:pipeline".
        name: What it is called on the platform; small letters, digits and dashes.
        image: The container image that has the workflow.
        mode: How it runs: "sequential", "sequential_group" or "parallel".
        schedule: When it runs, as five fields of cron; None for once.
        time_zone: That of the schedule, as "Europe/Lisbon".
        resume: Whether it restores what an earlier run has done.
        api_url: The address of dotflow-api; None: the platform's secret has it.
        dialect: How dotflow-api is spoken to: "managed", or "default" for a workflow whose id is in
            its code, of which each run that resumes goes on with the same record.
        secret: The name that the platform's secret has; its keys are the variables' names.
        workflow_id: The record of dotflow-api that the runs are of; None: one a run.
        otlp_endpoint: Where OpenTelemetry's signals go; None: nowhere.
        otlp_protocol: How: "http/protobuf" or "grpc".
        environment: Further variables, which are no secrets.
        secrets: The names of further variables that the platform's secret has.
        grace: Seconds between SIGTERM and the end.
        memory: What it may take, in MiB.
        cpu: What it gets, in processors.
        python: The version of Python in the image.
        requirements: The file of the project that names its packages; "" where there is none.
        install: What pip installs as dotflow in the image, as its command line has it; "" for what
            `requirements` names, or a wheel beside the files.
        folder: Where the files are, relative to the project, with slashes.

    Raises:
        PlanError: One of them is nothing that a platform takes.
    """

    workflow: str
    name: str
    image: str
    mode: str = TypeExecution.SEQUENTIAL
    schedule: str | None = None
    time_zone: str = "Etc/UTC"
    resume: bool = False
    api_url: str | None = None
    dialect: str = "managed"
    secret: str = "dotflow"  # noqa: S105 - a name
    workflow_id: str | None = None
    otlp_endpoint: str | None = None
    otlp_protocol: str = "http/protobuf"
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    grace: int = 30
    memory: int = 512
    cpu: float = 0.5
    python: str = "3.13"
    requirements: str = ""
    install: str = ""
    folder: str = "."

    def __post_init__(self) -> None:
        """Refuse what no platform takes."""
        _check(self)
        if self.schedule is not None:
            object.__setattr__(self, "schedule", five_fields(self.schedule))

    @property
    def command(self) -> list[str]:
        """What starts one run, as words that no shell reads."""
        words = ["dotflow", "start", "--workflow", self.workflow]
        if self.mode != TypeExecution.SEQUENTIAL:
            words += ["--mode", self.mode]
        return [*words, "--resume"] if self.resume else words

    @property
    def variables(self) -> dict[str, str]:
        """The variables whose values may be read by anybody."""
        own: dict[str, str | None] = {
            self.address: self.api_url,
            RUN: self.workflow_id,
            "DOTFLOW_SERVER": "otel",
            "DOTFLOW_STATE_DIR": f"{STATE}/state",
            "DOTFLOW_OUTPUT_PATH": f"{STATE}/results",
            "DOTFLOW_FLUSH_TIMEOUT": str(self.flush_timeout),
            "DOTFLOW_MAX_PROCESSES": self._processes,
            "OTEL_SERVICE_NAME": self.name,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.otlp_protocol if self.otlp_endpoint else None,
        }
        return {name: value for name, value in own.items() if value is not None} | dict(
            self.environment
        )

    @property
    def address(self) -> str:
        """The variable with the address of dotflow-api."""
        return PAIRS[self.dialect][0]

    @property
    def token(self) -> str:
        """The variable with its token."""
        return PAIRS[self.dialect][1]

    @property
    def _processes(self) -> str | None:
        """As many as its share of a machine can use, for Python sees the whole machine."""
        is_wide = self.mode == TypeExecution.PARALLEL
        return str(max(LEAST_PROCESSES, math.ceil(self.cpu))) if is_wide else None

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The variables whose values come from the platform's secret, which has to have them."""
        address = () if self.api_url else (self.address,)
        return (self.token, *address, *self.secrets)

    @property
    def optional_secrets(self) -> tuple[str, ...]:
        """The variables that the platform's secret may have."""
        is_open = self.otlp_endpoint and HEADERS not in (*self.secrets, *self.environment)
        return (HEADERS,) if is_open else ()

    @property
    def to_project(self) -> str:
        """The way from the files to the project's folder."""
        return posixpath.relpath(".", self.folder)

    def path(self, name: str) -> str:
        """The way from the project's folder to one of the files.

        Args:
            name: The file's path, relative to the folder of all.
        """
        return posixpath.normpath(posixpath.join(self.folder, name))

    @property
    def flush_timeout(self) -> int:
        """Seconds of the grace that delivery may take; the step under way has the others."""
        return max(1, self.grace * 2 // 3)


def label_of(text: str) -> str:
    """A name that every platform takes, made of any text.

    Args:
        text: As "etl:pipeline".
    """
    small = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not small or small[0].isdigit():
        small = f"run-{small}".rstrip("-")
    return small[:LONGEST_NAME].rstrip("-")


def five_fields(text: str) -> str:
    """A cron expression as all platforms read it.

    Args:
        text: Five fields, or a word such as "@daily".

    Raises:
        PlanError: It is none, or its time never comes.
    """
    from dotflow.providers import SchedulerCron  # here, for it loads what reads such expressions

    words = _PORTIONS.get(text.strip(), text).split()
    if len(words) != FIELDS or not all(_FIELD.fullmatch(word) for word in words):
        raise PlanError(
            f"'{text}' is no schedule that all platforms read: give five fields (minute, hour, day "
            "of month, month, day of week) of numbers, names, '*', ',', '-' and '/', as '0 3 * * *'"
        )
    joined = " ".join(words)
    try:
        SchedulerCron(joined)
    except ValueError as error:
        raise PlanError(str(error)) from error
    return joined


def attributes_text(attributes: Mapping[str, str]) -> str:
    """Attributes as OTEL_RESOURCE_ATTRIBUTES has them.

    Args:
        attributes: Names and values.
    """
    return ",".join(
        f"{name}={quote(value, safe='$(){}._-/: ')}" for name, value in attributes.items()
    )


def _check(plan: Plan) -> None:
    if not _IMPORT.fullmatch(plan.workflow):
        raise PlanError(
            f"'{plan.workflow}' names no workflow: write 'module:name', as 'etl:pipeline'"
        )
    if not _LABEL.fullmatch(plan.name) or len(plan.name) > LONGEST_NAME:
        raise PlanError(
            f"'{plan.name}' cannot be a name: small letters, digits and dashes, a letter first, "
            f"{LONGEST_NAME} at most, as '{label_of(plan.name)}'"
        )
    for what, value, pattern, example in (
        ("image", plan.image, _IMAGE, "registry.example.com/etl:1"),
        ("secret", plan.secret, _SECRET, "dotflow"),
        ("time zone", plan.time_zone, _ZONE, "Europe/Lisbon"),
        ("version of Python", plan.python, _PYTHON, "3.13"),
    ):
        if not pattern.fullmatch(value):
            raise PlanError(f"'{value}' is no name of a {what}, as '{example}'")
    if not plan.install.isprintable() or plan.install.startswith("-"):
        raise PlanError(
            f"'{printable(plan.install)}' is nothing that pip installs: name a version, a wheel, a "
            "folder or an address, as 'dotflow==2.0.0'"
        )
    if masked(plan.install) != plan.install or _has_user(plan.install):
        raise PlanError(
            "what is to be installed has a user or a password in it, which these files would show: "
            "give it to pip by its own means (PIP_INDEX_URL, a .netrc) where the image is built"
        )
    if not plan.folder.isprintable():
        raise PlanError("the folder has a name that cannot be printed")
    _check_variables(plan)
    _check_amounts(plan)
    for name, url in ((API, plan.api_url), ("OTLP", plan.otlp_endpoint)):
        if url is not None:
            _check_url(name, url)


def _has_user(requirement: str) -> bool:
    """Whether an address in a requirement has a user: that of git over SSH is no secret."""
    address = requirement.rpartition(" ")[2]
    return "://" in address and urlsplit(address).password is not None


def _check_amounts(plan: Plan) -> None:
    for value, allowed in (
        (plan.mode, MODES), (plan.otlp_protocol, PROTOCOLS), (plan.dialect, tuple(PAIRS)),
    ):  # fmt: skip
        if value not in allowed:
            raise PlanError(f"'{value}' is none of {', '.join(allowed)}")
    if min(plan.grace, plan.memory, plan.cpu) <= 0:
        raise PlanError("grace, memory and cpu have to be more than 0")
    if plan.workflow_id is not None and not 0 < len(plan.workflow_id) <= LONGEST_ID:
        raise PlanError(f"a workflow id has 1 to {LONGEST_ID} characters")


def _check_url(name: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PlanError(
            f"the address of {name} has to be http://... or https://..., not '{masked(url)}'"
        )
    if name == API and parts.hostname in HERE:
        raise PlanError(
            f"'{url}' is, where the workflow runs, that machine or container itself: give an "
            "address which can be reached from there"
        )
    if parts.username is not None or parts.password is not None:
        raise PlanError(
            f"the address of {name} has a user or a password in it, which these files would show: "
            "leave it out"
        )


def _check_variables(plan: Plan) -> None:
    for name in (*plan.environment, *plan.secrets):
        if not _VARIABLE.fullmatch(name):
            raise PlanError(f"'{name}' cannot be a variable: letters, digits and '_'")
    for name, value in plan.environment.items():
        if name in (*TOKENS, HEADERS) or verdict(name) or masked(value) != value:
            raise PlanError(
                f"{name} looks like a secret, and these files are no place for one: name it with "
                f"'--secret-env {name}', and put its value into the secret '{plan.secret}'"
            )
        if "\0" in value:
            raise PlanError(f"the value of {name} has a NUL in it, which no variable can hold")
