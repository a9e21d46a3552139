"""The least that each role needs, as IAM's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws.place import Arn, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

Document = dict[str, Any]

ECR_HOST = ".dkr.ecr."
PULLING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)


def trust(service: str, place: Place) -> Document:
    """Lets a service take the role, on behalf of this account only.

    Args:
        service: As "ecs-tasks".
        place: The account.
    """
    one = _allow(["sts:AssumeRole"])
    one["Principal"] = {"Service": f"{service}.amazonaws.com"}
    one["Condition"] = {"StringEquals": {"aws:SourceAccount": Arn(place.account)}}
    return _document([one])


def starting(
    actions: Sequence[str], of: Sequence[Any], where: Document | None, passed: Sequence[Any]
) -> Document:
    """Lets a schedule start something, and give it its roles.

    Args:
        actions: What starts it.
        of: What is started.
        where: A condition on that.
        passed: The roles that it gets.
    """
    start = _allow(actions, of)
    if where is not None:
        start["Condition"] = where
    if not passed:
        return _document([start])
    give = _allow(["iam:PassRole"], passed)
    give["Condition"] = {"StringLike": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    return _document([start, give])


def in_cluster(cluster: Any) -> Document:
    """The condition that something is started in one cluster.

    Args:
        cluster: Its full name.
    """
    return {"ArnEquals": {"ecs:cluster": cluster}}


def reading(place: Place, image: str, log_group: str, secrets: Sequence[Any]) -> Document:
    """Lets a platform pull the image, read the secrets and write the log.

    Args:
        place: The account.
        image: The image.
        log_group: Where the lines go.
        secrets: The full names of the secrets or parameters.
    """
    log = place.arn("logs", f"log-group:{log_group}:*")
    statements = [_allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log])]
    of_parameters = [one for one in secrets if ":ssm:" in str(one)]
    of_manager = [one for one in secrets if one not in of_parameters]
    if of_manager:
        statements.append(_allow(["secretsmanager:GetSecretValue"], of_manager))
    if of_parameters:
        statements.append(_allow(["ssm:GetParameters"], of_parameters))
    repository = _repository(place, image)
    if repository is not None:
        statements.append(_allow(["ecr:GetAuthorizationToken"], ["*"]))
        statements.append(_allow(PULLING, [repository]))
    return _document(statements)


def mounting(place: Place, efs: tuple[str, str]) -> Document:
    """Lets a task use one access point of one file system.

    Args:
        place: The account.
        efs: Their ids.
    """
    system, point = efs
    one = _allow(
        ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
        [place.arn("elasticfilesystem", f"file-system/{system}")],
    )
    name = place.arn("elasticfilesystem", f"access-point/{point}")
    one["Condition"] = {"StringEquals": {"elasticfilesystem:AccessPointArn": name}}
    return _document([one])


def _repository(place: Place, image: str) -> str | None:
    """The full name of the repository that an image of ECR's is in."""
    host, _, rest = image.partition("/")
    if ECR_HOST not in host:
        return None
    account, _, where = host.partition(ECR_HOST)
    name = rest.partition("@")[0].partition(":")[0]
    return Place(place.partition, where.partition(".")[0], account).arn("ecr", f"repository/{name}")


def _allow(actions: Sequence[str], resources: Sequence[Any] = ()) -> Document:
    one: Document = {"Effect": "Allow", "Action": list(actions)}
    if resources:
        one["Resource"] = list(resources)
    return one


def _document(statements: list[Document]) -> Document:
    return {"Version": "2012-10-17", "Statement": statements}
