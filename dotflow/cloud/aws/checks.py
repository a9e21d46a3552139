"""Looks whether what others make is there, before anything is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws.account import AwsError, code_of, plain
from dotflow.cloud.aws.next_steps import secret_steps

if TYPE_CHECKING:
    from dotflow.cloud.aws.account import Account
    from dotflow.cloud.aws.plans import AwsPlan, EcsPlan

MANY = 8
"""How many of what there is are named."""


def cluster(account: Account, name: str) -> str:
    """The full name of a cluster.

    Args:
        account: Where it is.
        name: Its name.

    Raises:
        AwsError: There is none that can be used.
    """
    service = account.client("ecs")
    with plain(f"describe the cluster {name}"):
        found = service.describe_clusters(clusters=[name])["clusters"]
        if found and found[0]["status"] == "ACTIVE":
            full: str = found[0]["clusterArn"]
            return full
        others = [one.rpartition("/")[2] for one in service.list_clusters()["clusterArns"]]
    there = f"there is {', '.join(sorted(others)[:MANY])}" if others else "there is none"
    raise AwsError(
        f"No cluster '{name}' is in {account.region} ({there}): give '--cluster' or '--region', or "
        f"`aws ecs create-cluster --cluster-name {name}`"
    )


def network(account: Account, plan: EcsPlan) -> None:
    """Look for the subnets and what guards them, which a schedule would miss only at its time.

    Args:
        account: Where they are.
        plan: What is to run.

    Raises:
        AwsError: One is not there, or a schedule has none.
    """
    if not plan.subnets and not plan.security_groups and plan.schedule is None:
        return
    service = account.client("ec2")
    if not plan.subnets and plan.schedule is not None:
        with plain("describe the subnets"):
            there = service.describe_subnets(MaxResults=MANY)["Subnets"]
        some = ", ".join(f"{one['SubnetId']} ({one['AvailabilityZone']})" for one in there[:MANY])
        raise AwsError(
            "A schedule needs to know the network: give '--subnets'. "
            f"{account.region} has {some or 'none'}"
        )
    if plan.subnets:
        with plain("describe the subnets"):
            service.describe_subnets(SubnetIds=list(plan.subnets))
    if plan.security_groups:
        with plain("describe the security groups"):
            service.describe_security_groups(GroupIds=list(plan.security_groups))


def secret(account: Account, plan: AwsPlan) -> str | None:
    """The full name of the secret, whose value nobody reads here; None: parameters have it.

    Args:
        account: Where it is.
        plan: What is to run.

    Raises:
        AwsError: It is not there, or one of the parameters is not.
    """
    if plan.parameters is None:
        return _of_manager(account, plan)
    names = [f"{plan.parameters}/{name}" for name in plan.secret_variables]
    with plain("describe the parameters"):
        pages = account.client("ssm").get_paginator("describe_parameters")
        found: list[Any] = [
            one["Name"]
            for page in pages.paginate(ParameterFilters=[{"Key": "Name", "Values": names}])
            for one in page["Parameters"]
        ]
    missing = [name for name in names if name not in found]
    if missing:
        raise AwsError(f"There is no parameter {', '.join(missing)}: {_made(plan)}")
    return None


def _of_manager(account: Account, plan: AwsPlan) -> str:
    from botocore.exceptions import ClientError

    with plain(f"describe the secret {plan.secret}"):
        try:
            found = account.client("secretsmanager").describe_secret(SecretId=plan.secret)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            raise AwsError(
                f"There is no secret '{plan.secret}' in {account.region}: {_made(plan)}"
            ) from error
    full: str = found["ARN"]
    return full


def _made(plan: AwsPlan) -> str:
    steps = "\n  ".join(secret_steps(plan))
    return f"give '--secret' or '--parameters', or make it:\n  {steps}"
