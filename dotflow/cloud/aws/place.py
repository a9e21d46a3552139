"""Where things are at Amazon, and their full names."""

from __future__ import annotations

from dataclasses import dataclass


class Arn(str):
    """A full name, in which a template has the place's variables."""

    __slots__ = ()


@dataclass(frozen=True)
class Place:
    """An account in a region.

    Args:
        partition: "aws", or that of a separate part of it, as "aws-cn".
        region: As "eu-west-1".
        account: Its twelve digits.
    """

    partition: str
    region: str
    account: str

    def arn(self, service: str, what: str) -> Arn:
        """The full name of something of this account.

        Args:
            service: As "ecs".
            what: Its kind and name, as the service writes them.
        """
        region = "" if service == "iam" else self.region
        return Arn(f"arn:{self.partition}:{service}:{region}:{self.account}:{what}")


OF_TEMPLATE = Place("${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}")
"""The place of whoever makes a stack of a template."""
