"""What a plan says more where a workflow runs at Amazon."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dotflow.cloud.aws.cron import expression_of
from dotflow.cloud.plan import Plan, PlanError

LONGEST_NAME = 46
"""Characters of a name to which a role's gets "dotflow-" and what it is for: IAM takes 64."""

LONGEST_STOP = 120
"""Seconds that Fargate waits after SIGTERM, at the most."""

FARGATE = (
    (256, (512, 1024, 2048)),
    (512, tuple(range(1024, 4097, 1024))),
    (1024, tuple(range(2048, 8193, 1024))),
    (2048, tuple(range(4096, 16385, 1024))),
    (4096, tuple(range(8192, 30721, 1024))),
    (8192, tuple(range(16384, 61441, 4096))),
    (16384, tuple(range(32768, 122881, 8192))),
)
"""Units of processors (1024 each) and the MiB of memory that go with them."""

CODEBUILD = (
    ("BUILD_GENERAL1_SMALL", 2, 4096),
    ("BUILD_GENERAL1_MEDIUM", 4, 8192),
    ("BUILD_GENERAL1_LARGE", 8, 16384),
    ("BUILD_GENERAL1_XLARGE", 36, 72 * 1024),
    ("BUILD_GENERAL1_2XLARGE", 72, 144 * 1024),
)
"""Names, processors and MiB."""

ARCHITECTURES = ("X86_64", "ARM64")
MINUTES = (5, 2160)
"""What CodeBuild takes as the time of a build."""

_FILE_SYSTEM = re.compile(r"fs-[0-9a-f]+/fsap-[0-9a-f]+")
_SUBNET, _GROUP = re.compile(r"subnet-[0-9a-f]+"), re.compile(r"sg-[0-9a-f]+")
_ROLE = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+")
_PATH = re.compile(r"(/[\w.-]+)+")
_SUFFIXED = re.compile(r".*-.{6}")


@dataclass(frozen=True, kw_only=True)
class AwsPlan(Plan):
    """What is to run at Amazon.

    Args:
        parameters: The path of the parameters in Systems Manager that hold the secrets, each
            named as its variable; None: the secret of Secrets Manager holds them all.
        architecture: That of the image, "X86_64" or "ARM64".
        schedule_role: The role that starts it when it is due; None: one is made.
    """

    parameters: str | None = None
    architecture: str = "X86_64"
    schedule_role: str | None = None

    def __post_init__(self) -> None:
        """Refuse what Amazon does not take.

        Raises:
            PlanError: The message says what is allowed.
        """
        super().__post_init__()
        if len(self.name) > LONGEST_NAME:
            raise PlanError(
                f"'{self.name}' is too long for the names of roles: give a --name with "
                f"{LONGEST_NAME} characters or less"
            )
        if self.schedule is not None:
            expression_of(self.schedule)
        if self.parameters is not None and not _PATH.fullmatch(self.parameters):
            raise PlanError(f"'{self.parameters}' is no path of parameters, as '/dotflow/etl'")
        if self.architecture not in ARCHITECTURES:
            raise PlanError(f"'{self.architecture}' is none of {', '.join(ARCHITECTURES)}")
        check_role(self.schedule_role)

    @property
    def own(self) -> str:
        """The name of all that is made for it."""
        return f"dotflow-{self.name}"

    @property
    def log_group(self) -> str:
        """Where its lines are."""
        return f"/dotflow/{self.name}"

    @property
    def is_found_by_part(self) -> bool:
        """Whether Secrets Manager finds the secret by a full name without its six last letters."""
        return self.parameters is not None or not _SUFFIXED.fullmatch(self.secret)


@dataclass(frozen=True, kw_only=True)
class EcsPlan(AwsPlan):
    """What is to run on ECS, by Fargate.

    Args:
        cluster: The name of the cluster.
        subnets: Where its network is; a schedule needs one at least.
        security_groups: What guards it there; none: the network's default.
        has_public_ip: Whether it gets an address of its own in the internet, which it needs in
            a subnet without a NAT gateway.
        file_system: An EFS file system and an access point of it, as "fs-1a/fsap-2b", for the
            outbox and for results; None: what is not delivered goes with the task.
        execution_role: The role that pulls the image and reads the secrets; None: one is made.
        task_role: The role of the workflow's own code; None: one is made, which may do nothing
            but use the file system.
    """

    cluster: str = "default"
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    has_public_ip: bool = False
    file_system: str | None = None
    execution_role: str | None = None
    task_role: str | None = None

    def __post_init__(self) -> None:
        """Refuse what ECS does not take.

        Raises:
            PlanError: The message says what is allowed.
        """
        super().__post_init__()
        if self.grace > LONGEST_STOP:
            raise PlanError(
                f"Fargate waits {LONGEST_STOP} seconds after SIGTERM, not {self.grace}: give "
                f"--grace {LONGEST_STOP} or less"
            )
        check_ids(self.subnets, self.security_groups, self.file_system)
        check_role(self.execution_role)
        check_role(self.task_role)
        _ = self.size

    @property
    def size(self) -> tuple[int, int]:
        """The smallest size of Fargate's that is enough: units of processors, and MiB."""
        for units, memories in FARGATE:
            enough = [one for one in memories if one >= self.memory]
            if units >= self.cpu * 1024 and enough:
                return units, enough[0]
        raise PlanError(f"Fargate has nothing with {self.cpu:g} processors and {self.memory} MiB")

    @property
    def efs(self) -> tuple[str, str] | None:
        """The file system and its access point."""
        if self.file_system is None:
            return None
        system, _, point = self.file_system.partition("/")
        return system, point


@dataclass(frozen=True, kw_only=True)
class CodebuildPlan(AwsPlan):
    """What is to run on CodeBuild.

    Args:
        minutes: What a run may take before CodeBuild ends it.
        service_role: The role that pulls the image and reads the secrets, and that the workflow's
            own code has; None: one is made.
    """

    minutes: int = 60
    service_role: str | None = None

    def __post_init__(self) -> None:
        """Refuse what CodeBuild does not take.

        Raises:
            PlanError: The message says what is allowed.
        """
        super().__post_init__()
        least, most = MINUTES
        if not least <= self.minutes <= most:
            raise PlanError(f"CodeBuild takes {least} to {most} minutes, not {self.minutes}")
        check_role(self.service_role)
        _ = self.compute_type

    @property
    def compute_type(self) -> str:
        """The smallest machine of CodeBuild's that is enough."""
        for name, processors, memory in CODEBUILD:
            if processors >= self.cpu and memory >= self.memory:
                return name
        raise PlanError(f"CodeBuild has nothing with {self.cpu:g} processors and {self.memory} MiB")


def check_ids(subnets: tuple[str, ...], groups: tuple[str, ...], file_system: str | None) -> None:
    """Refuse what is no part of a network, and no file system.

    Args:
        subnets: Where something is.
        groups: The security groups that guard it.
        file_system: An EFS file system and an access point of it.

    Raises:
        PlanError: One of them is none.
    """
    for pattern, example, given in ((_SUBNET, "subnet-0a1b2c3d", subnets),
                                    (_GROUP, "sg-0a1b2c3d", groups)):  # fmt: skip
        for one in given:
            if not pattern.fullmatch(one):
                raise PlanError(f"'{one}' is no id, as '{example}'")
    if file_system is not None and not _FILE_SYSTEM.fullmatch(file_system):
        raise PlanError(
            f"'{file_system}' is no file system with its access point, as "
            "'fs-0a1b2c3d/fsap-4e5f6a7b'; docs/guides/deploy.md says how one is made"
        )


def check_role(role: str | None) -> None:
    """Refuse what is no role.

    Args:
        role: Its full name.

    Raises:
        PlanError: It is none.
    """
    if role is not None and not _ROLE.fullmatch(role):
        raise PlanError(f"'{role}' is no role, as 'arn:aws:iam::123456789012:role/name'")
