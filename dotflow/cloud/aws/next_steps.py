"""What somebody does with the files for Amazon, as command lines."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from dotflow.cloud.aws.policies import ECR_HOST

if TYPE_CHECKING:
    from dotflow.cloud.aws.plans import AwsPlan


def secret_steps(plan: AwsPlan) -> list[str]:
    """How the secrets get to Amazon, without a value in a file or in the shell's history.

    Args:
        plan: What is to run.
    """
    if plan.parameters is not None:
        put = "aws ssm put-parameter --type SecureString --value file:///dev/stdin --name"
        return [
            f'read -rs V && printf %s "$V" | {put} {plan.parameters}/{name}'
            for name in plan.secret_variables
        ]
    form = ", ".join(f'"{name}": "..."' for name in plan.secret_variables)
    make = "aws secretsmanager create-secret --secret-string file:///dev/stdin --name"
    return [f"# once, with {{{form}}} and Ctrl-D as its input:", f"{make} {plan.secret}"]


def push_steps(plan: AwsPlan, build: str) -> list[str]:
    """How the image gets into its registry.

    Args:
        plan: What is to run.
        build: What builds it.
    """
    steps = [build, f"docker push {shlex.quote(plan.image)}"]
    host = plan.image.partition("/")[0]
    if ECR_HOST not in host:
        return steps
    region = host.partition(ECR_HOST)[2].partition(".")[0]
    password = f"aws ecr get-login-password --region {region}"
    return [f"{password} | docker login --username AWS --password-stdin {host}", *steps]


def stack_step(plan: AwsPlan, path: str) -> str:
    """What makes the stack, and makes it anew when the file has changed.

    Args:
        plan: What is to run.
        path: The template.
    """
    return (
        f"aws cloudformation deploy --stack-name {plan.own} --template-file {shlex.quote(path)} "
        "--capabilities CAPABILITY_IAM"
    )
