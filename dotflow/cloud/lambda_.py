"""AWS Lambda: a function from an image, its role and a schedule, as one stack."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws import documents, policies, template
from dotflow.cloud.aws.flags import add_aws_flags, ids
from dotflow.cloud.aws.next_steps import push_steps, secret_steps, stack_step
from dotflow.cloud.aws.place import OF_TEMPLATE as PLACE
from dotflow.cloud.aws.place import Arn
from dotflow.cloud.aws.plans import AwsPlan, check_ids, check_role
from dotflow.cloud.aws.secrets import NAMES, PARAMETERS, SECRET
from dotflow.cloud.image import IGNORED, NAME, build_step, installed
from dotflow.cloud.plan import ATTRIBUTES, STATE, PlanError
from dotflow.cloud.yaml_text import Noted, yaml_text
from dotflow.runlog.folder import ANYWHERE, OUTBOX

if TYPE_CHECKING:
    import argparse

OUT = "deploy/lambda"
FILE = "template.yaml"
HANDLER = "dotflow.cli.on_lambda.handler"
LONGEST = 900  # seconds
MEMORY = (128, 10_240)  # MiB
MOUNT, TEMPORARY = "/mnt/dotflow", "/tmp/dotflow"  # noqa: S108 - there is no other place
NETWORK = (
    "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
)  # fmt: skip
BUILT_FOR = {"X86_64": "linux/amd64", "ARM64": "linux/arm64"}


@dataclass(frozen=True, kw_only=True)
class LambdaPlan(AwsPlan):
    """What Lambda has to know beside.

    Args:
        timeout: What a run may take, in seconds.
        subnets: Where its network is, for a file system, or for what only they reach.
        security_groups: What guards it there.
        file_system: An EFS file system and an access point of it, as "fs-1a/fsap-2b", for the
            outbox and for results; None: what is not delivered goes with the function's instance.
        role: The role of the function; None: one is made.
    """

    timeout: int = LONGEST
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    file_system: str | None = None
    role: str | None = None

    def __post_init__(self) -> None:
        """Refuse what Lambda does not take.

        Raises:
            PlanError: The message says what is allowed.
        """
        super().__post_init__()
        if not self.grace < self.timeout <= LONGEST:
            raise PlanError(
                f"Lambda takes {LONGEST} seconds at most, and the time has to be longer than the "
                f"grace: give '--timeout' and '--grace' so"
            )
        least, most = MEMORY
        if not least <= self.memory <= most:
            raise PlanError(f"Lambda takes {least} to {most} MiB, not {self.memory}")
        check_ids(self.subnets, self.security_groups, self.file_system)
        if bool(self.subnets) != bool(self.security_groups) or (
            self.file_system and not self.subnets
        ):
            raise PlanError(
                "a network is '--subnets' and '--security-groups', both, and '--efs' needs one"
            )
        check_role(self.role)

    @property
    def place(self) -> str:
        """The folder that it can write to."""
        return MOUNT if self.file_system else TEMPORARY

    @property
    def efs(self) -> tuple[str, str] | None:
        """The file system and its access point."""
        if self.file_system is None:
            return None
        system, _, point = self.file_system.partition("/")
        return system, point


PLAN = LambdaPlan


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only this platform has."""
    add = parser.add_argument
    add_aws_flags(parser)
    add(
        "--timeout", type=int, default=LONGEST, metavar="S",
        help=f"how many seconds a run may take ({LONGEST}, the maximum)",
    )  # fmt: skip
    add("--subnets", type=ids, default=(), metavar="ID,ID", help="its subnets (none)")
    add(
        "--security-groups",
        type=ids,
        default=(),
        metavar="ID,ID",
        help="its security groups (none)",
    )
    add(
        "--efs", dest="file_system", metavar="FS/AP",
        help="an EFS file system and its access point, as fs-1a/fsap-2b, for the outbox and for "
        "results (none: what was not delivered goes with the function's instance)",
    )  # fmt: skip
    add("--role", metavar="ARN", help="the role of the function (a new role)")


def files(plan: LambdaPlan) -> dict[str, str]:
    """The texts by their paths."""
    above = f"The workflow {plan.workflow} on Lambda.\n{stack_step(plan, plan.path(FILE))}"
    return {
        FILE: yaml_text(_template(plan), above=above),
        NAME: _dockerfile(plan),
        f"{NAME}.dockerignore": IGNORED,
    }


def next_steps(plan: LambdaPlan) -> list[str]:
    """What is to be done with the files."""
    return [
        *push_steps(plan, _build(plan)),
        *secret_steps(plan),
        stack_step(plan, plan.path(FILE)),
        "# a run by hand:",
        f"aws lambda invoke --function-name {plan.own} --invocation-type Event /dev/stdout",
    ]


def _build(plan: LambdaPlan) -> str:
    """Lambda takes an image of one platform alone, without what else BuildKit adds to it."""
    lone = f"--platform {BUILT_FOR[plan.architecture]} --provenance=false"
    return build_step(plan).replace(" build ", f" build {lone} ", 1)


def _dockerfile(plan: LambdaPlan) -> str:
    return f"""\
# syntax=docker/dockerfile:1
# The image of {plan.workflow} for Lambda. In the project's folder:
#   {_build(plan)}
FROM public.ecr.aws/lambda/python:{plan.python}

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \\
    PIP_NO_CACHE_DIR=1

{installed(plan, "aws")}
# An image without this dotflow, or without boto3, ends here, and not at night.
RUN dotflow doctor --help > /dev/null && python -c 'import boto3'

CMD ["{HANDLER}"]
"""


def _template(plan: LambdaPlan) -> dict[str, Any]:
    resources = {"LogGroup": template.log_group(plan.log_group)}
    if plan.role is None:
        resources["FunctionRole"] = template.role(_trust(), _policy(plan))
    resources["Function"] = {
        "Type": "AWS::Lambda::Function",
        "DependsOn": "LogGroup",
        "Properties": _function(plan),
    }
    resources["Calls"] = {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": "Function"},
            "Qualifier": "$LATEST",
            "MaximumRetryAttempts": Noted(
                2 if plan.resume else 0,
                "Steps have retries of their own; with --resume a second call goes on.",
            ),
            "MaximumEventAgeInSeconds": 3600,
        },
    }
    if plan.schedule is not None:
        function = template.attribute("Function")
        starter = plan.schedule_role or template.attribute("ScheduleRole")
        if plan.schedule_role is None:
            policy = policies.starting(["lambda:InvokeFunction"], [function], None, [])
            resources["ScheduleRole"] = template.role(policies.trust("scheduler", PLACE), policy)
        target = {"Arn": function, "RoleArn": starter, "RetryPolicy": documents.TRIES}
        resources["Schedule"] = template.schedule(documents.schedule(plan, target))
    return template.stack(f"The workflow {plan.workflow} on Lambda", resources)


def _function(plan: LambdaPlan) -> dict[str, Any]:
    said: dict[str, Any] = {
        "FunctionName": plan.own,
        "Description": f"Runs the workflow {plan.workflow}",
        "PackageType": "Image",
        "Code": {"ImageUri": plan.image},
        "Architectures": [plan.architecture.lower()],
        "Role": plan.role or template.attribute("FunctionRole"),
        "Timeout": plan.timeout,
        "MemorySize": Noted(plan.memory, "A processor for each 1769 MiB."),
        "LoggingConfig": {"LogGroup": plan.log_group},
        "Environment": {"Variables": template.substituted(_variables(plan))},
    }
    if plan.subnets:
        said["VpcConfig"] = {
            "SubnetIds": list(plan.subnets),
            "SecurityGroupIds": list(plan.security_groups),
        }
    if plan.efs is not None:
        point = PLACE.arn("elasticfilesystem", f"access-point/{plan.efs[1]}")
        said["FileSystemConfigs"] = template.substituted([{"Arn": point, "LocalMountPath": MOUNT}])
    return said


def _variables(plan: LambdaPlan) -> dict[str, str]:
    said = {name: value.replace(STATE, plan.place) for name, value in plan.variables.items()}
    own = said.pop(ATTRIBUTES, "").replace("${", "${!")  # which is no variable of the place
    where = "cloud.provider=aws,cloud.platform=aws_lambda,cloud.region=${AWS::Region}"
    attributes = ",".join(text for text in (where, f"faas.name={plan.own}", own) if text)
    secret = {PARAMETERS: plan.parameters} if plan.parameters else {SECRET: plan.secret}
    if plan.efs is not None:
        said = {OUTBOX: ANYWHERE, **said}  # EFS is a network disk, and the only one that lasts
    return {
        **said,
        "DOTFLOW_COMMAND": shlex.join(plan.command[1:]),
        "DOTFLOW_GRACE": str(plan.grace),
        "DOTFLOW_HISTORY": "off",
        **secret,
        NAMES: ",".join(plan.secret_variables),
        ATTRIBUTES: Arn(attributes),
    }


def _trust() -> dict[str, Any]:
    """Lambda does not say for which account it takes a role, so nothing can be asked of that."""
    trust = policies.trust("lambda", PLACE)
    for statement in trust["Statement"]:
        del statement["Condition"]
    return trust


def _policy(plan: LambdaPlan) -> dict[str, Any]:
    # The image is pulled by Lambda itself.
    secrets = documents.secrets_of(plan, PLACE)
    policy = policies.reading(PLACE, "", plan.log_group, secrets)
    if plan.efs is not None:
        policy["Statement"] += policies.mounting(PLACE, plan.efs)["Statement"]
    if plan.subnets:
        policy["Statement"].append({"Effect": "Allow", "Action": list(NETWORK), "Resource": ["*"]})
    return policy
