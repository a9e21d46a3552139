"""What Amazon is told of a workflow, in the form that its services take."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws.cron import expression_of
from dotflow.cloud.aws.place import OF_TEMPLATE, Arn
from dotflow.cloud.plan import ATTRIBUTES, STATE, attributes_text
from dotflow.otel.attributes import CICD_PIPELINE_NAME
from dotflow.runlog.folder import ANYWHERE, OUTBOX

if TYPE_CHECKING:
    from dotflow.cloud.aws.place import Place
    from dotflow.cloud.aws.plans import AwsPlan, CodebuildPlan, EcsPlan

Document = dict[str, Any]

CONTAINER = "workflow"
VOLUME = "outbox"
FOLDER = "/app"
"""Where the image has the workflow."""

WHICH_BUILD = f"${ATTRIBUTES},cicd.pipeline.run.id=$CODEBUILD_BUILD_ID"

FLUSH = "dotflow outbox flush --timeout 60 || true"
"""What a build does last; what is still left then goes with its disk, and fails no build."""

TRIES = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 5}
"""A run that could not be started within the hour is not started at another time of day."""


def secrets_of(plan: AwsPlan, place: Place, secret: str | None = None) -> list[str]:
    """The full names of what holds the secrets, as a policy says them.

    Args:
        plan: What is to run.
        place: The account.
        secret: The full name of the secret, where it is known.
    """
    if plan.parameters is not None:
        return [
            place.arn("ssm", f"parameter{plan.parameters}/{name}") for name in plan.secret_variables
        ]
    # Six letters of Secrets Manager's own end the name.
    return [secret or place.arn("secretsmanager", f"secret:{plan.secret}-??????")]


def task_definition(
    plan: EcsPlan, place: Place, execution: Any, own: Any, secret: str | None = None
) -> Document:
    """What `ecs.register_task_definition` takes.

    Args:
        plan: What is to run.
        place: The account.
        execution: The role that starts the container.
        own: The role of the workflow's own code.
        secret: The full name of the secret, where it is known.
    """
    processors, memory = plan.size
    first, *words = plan.command
    container = {
        "name": CONTAINER,
        "image": plan.image,
        "essential": True,
        "entryPoint": [first],
        "command": words,
        "environment": _pairs(_task_variables(plan, place)),
        "secrets": _secrets(plan, place, secret),
        "stopTimeout": plan.grace,
        "linuxParameters": {"initProcessEnabled": True},
        "mountPoints": [],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": plan.log_group,
                "awslogs-region": Arn(place.region),
                "awslogs-stream-prefix": plan.name,
                # A log that is late holds up no step.
                "mode": "non-blocking",
            },
        },
    }
    if plan.efs is not None:
        container["mountPoints"] = [
            {"sourceVolume": VOLUME, "containerPath": STATE, "readOnly": False}
        ]
    return {
        "family": plan.own,
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": str(processors),
        "memory": str(memory),
        "runtimePlatform": {
            "cpuArchitecture": plan.architecture,
            "operatingSystemFamily": "LINUX",
        },
        "executionRoleArn": execution,
        "taskRoleArn": own,
        "containerDefinitions": [container],
        "volumes": _volumes(plan),
    }


def _task_variables(plan: EcsPlan, place: Place) -> dict[str, str]:
    where = {
        "cloud.platform": "aws_ecs",
        "aws.ecs.launchtype": "fargate",
        "aws.ecs.task.family": plan.own,
    }
    said = _placed(plan, place, where)
    # EFS is a network disk, and the only one that outlives a task.
    return said if plan.efs is None else {OUTBOX: ANYWHERE, **said}


def _placed(plan: AwsPlan, place: Place, where: dict[str, str]) -> dict[str, str]:
    """The variables, with attributes that say where each trace, log record and metric is from."""
    own = plan.variables.get(ATTRIBUTES, "")
    if place == OF_TEMPLATE:
        own = own.replace("${", "${!")  # which is no variable of the place
    of_all = {
        "cloud.provider": "aws",
        "cloud.region": place.region,
        "cloud.account.id": place.account,
    }
    text = ",".join(one for one in (attributes_text(of_all | where), own) if one)
    return {**plan.variables, ATTRIBUTES: Arn(text)}


def _pairs(variables: dict[str, str]) -> list[Document]:
    return [{"name": name, "value": value} for name, value in sorted(variables.items())]


def _secrets(plan: AwsPlan, place: Place, secret: str | None) -> list[Document]:
    if plan.parameters is not None:
        where = {
            name: place.arn("ssm", f"parameter{plan.parameters}/{name}")
            for name in plan.secret_variables
        }
    else:
        # A key of the secret's JSON, in its newest version.
        where = {
            name: Arn(f"{secret}:{name}::")
            if secret
            else place.arn("secretsmanager", f"secret:{plan.secret}:{name}::")
            for name in plan.secret_variables
        }
    return [{"name": name, "valueFrom": where[name]} for name in sorted(where)]


def _volumes(plan: EcsPlan) -> list[Document]:
    if plan.efs is None:
        return []
    system, point = plan.efs
    return [
        {
            "name": VOLUME,
            "efsVolumeConfiguration": {
                "fileSystemId": system,
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"accessPointId": point, "iam": "ENABLED"},
            },
        }
    ]


def starting_task(plan: EcsPlan, cluster: Any, definition: Any, role: Any) -> Document:
    """The target of a schedule that runs a task.

    Args:
        plan: What is to run.
        cluster: The full name of the cluster.
        definition: That of the task definition; without a revision, it is the newest.
        role: The role that starts it.
    """
    network: Document = {
        "Subnets": list(plan.subnets),
        "AssignPublicIp": "ENABLED" if plan.has_public_ip else "DISABLED",
    }
    if plan.security_groups:
        network["SecurityGroups"] = list(plan.security_groups)
    return {
        "Arn": cluster,
        "RoleArn": role,
        "RetryPolicy": TRIES,
        "EcsParameters": {
            "TaskDefinitionArn": definition,
            "TaskCount": 1,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {"awsvpcConfiguration": network},
        },
    }


def starting_build(project: Any, role: Any) -> Document:
    """The target of a schedule that starts a build.

    Args:
        project: The full name of the project.
        role: The role that starts it.
    """
    return {"Arn": project, "RoleArn": role, "RetryPolicy": TRIES}


def schedule(plan: AwsPlan, target: Document) -> Document:
    """What `scheduler.create_schedule` takes.

    Args:
        plan: What is to run; it has a schedule.
        target: What is started.
    """
    return {
        "Name": plan.own,
        "Description": f"Starts the workflow {plan.workflow}",
        "ScheduleExpression": expression_of(plan.schedule or ""),
        "ScheduleExpressionTimezone": plan.time_zone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
    }


def buildspec(plan: CodebuildPlan) -> Document:
    """What CodeBuild does in a build.

    Args:
        plan: What is to run.
    """
    return {
        "version": 0.2,
        "phases": {"build": {"commands": [_in_folder(plan)], "finally": [FLUSH]}},
    }


def _in_folder(plan: CodebuildPlan) -> str:
    # CodeBuild begins in a folder of its own, and not in that of the image.
    return f'cd {FOLDER} && {ATTRIBUTES}="{WHICH_BUILD}" {shlex.join(plan.command)}'


def project(
    plan: CodebuildPlan, place: Place, role: Any, text: str, secret: str | None = None
) -> Document:
    """What `codebuild.create_project` takes.

    Args:
        plan: What is to run.
        place: The account.
        role: The role of the build.
        text: The buildspec.
        secret: The full name of the secret, where it is known.
    """
    return {
        "name": plan.own,
        "description": f"Runs the workflow {plan.workflow}",
        "source": {"type": "NO_SOURCE", "buildspec": text},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "ARM_CONTAINER" if plan.architecture == "ARM64" else "LINUX_CONTAINER",
            "image": plan.image,
            "computeType": plan.compute_type,
            "imagePullCredentialsType": "SERVICE_ROLE",
            "privilegedMode": False,
            "environmentVariables": _build_variables(plan, place, secret),
        },
        "serviceRole": role,
        "timeoutInMinutes": plan.minutes,
        "logsConfig": {"cloudWatchLogs": {"status": "ENABLED", "groupName": plan.log_group}},
    }


def _build_variables(plan: CodebuildPlan, place: Place, secret: str | None) -> list[Document]:
    said = _placed(plan, place, {CICD_PIPELINE_NAME: plan.own})
    found = [one | {"type": "PLAINTEXT"} for one in _pairs(said)]
    for name in sorted(plan.secret_variables):
        if plan.parameters is not None:
            where, kind = f"{plan.parameters}/{name}", "PARAMETER_STORE"
        else:
            where, kind = f"{secret or plan.secret}:{name}", "SECRETS_MANAGER"
        found.append({"name": name, "value": where, "type": kind})
    return found
