"""The flags that the platforms of Amazon have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.cloud.aws.plans import ARCHITECTURES

if TYPE_CHECKING:
    import argparse


def add_aws_flags(parser: argparse.ArgumentParser) -> None:
    """Declare a flag for each field that `AwsPlan` has besides those of `Plan`."""
    add = parser.add_argument
    add(
        "--parameters", metavar="PATH",
        help="have the secrets in parameters of Systems Manager, as /dotflow/etl, each named as "
        "its variable (one secret of Secrets Manager, as '--secret' says)",
    )  # fmt: skip
    add(
        "--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0],
        help="the processors that the image is built for (X86_64)",
    )  # fmt: skip
    add("--schedule-role", metavar="ARN", help="the role that starts the runs (a new role)")


def ids(text: str) -> tuple[str, ...]:
    """Ids with commas between."""
    return tuple(one.strip() for one in text.split(",") if one.strip())
