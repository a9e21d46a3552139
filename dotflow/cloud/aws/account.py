"""The account that a deployment is for, and what its services answer, in plain words."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from dotflow.cloud.aws.place import Place
from dotflow.utils.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = "This needs boto3, which talks to Amazon: pip install 'dotflow[aws]'"

SECONDS_TO_CONNECT, SECONDS_TO_ANSWER, TRIES = 10, 30, 3

CREDENTIALS = (
    "give '--profile', or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; with "
    "single sign-on, `aws sso login` first"
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure",
     "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken"}
)  # fmt: skip
PAST = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})


class AwsError(Exception):
    """What Amazon did not do, and what mends it."""


class Account:
    """An account in a region, as the machine's settings or the flags say.

    Args:
        region: As "eu-west-1"; None: what the environment or the profile says.
        profile: That of the machine's settings; None: what the environment says.
        endpoint: An address in place of Amazon's, as of a server for tests.

    Raises:
        AwsError: boto3 is not there, or there is no such profile, or no region.
    """

    def __init__(
        self, region: str | None = None, profile: str | None = None, endpoint: str | None = None
    ) -> None:
        try:
            import boto3  # here, for it is an extra, and slow
        except ModuleNotFoundError as error:
            raise AwsError(MISSING) from error
        self._endpoint = endpoint
        with plain("read the settings of this machine"):
            self._session = boto3.Session(profile_name=profile)
            self.region = region or os.environ.get("AWS_REGION") or self._session.region_name
        if not self.region:
            raise AwsError("No region is known: give '--region', as eu-west-1, or set AWS_REGION")
        self.client = lru_cache(None)(self._client)

    def _client(self, service: str) -> Any:
        """What talks to a service, as "ecs"; the same one each time."""
        from botocore.config import Config

        config = Config(
            connect_timeout=SECONDS_TO_CONNECT,
            read_timeout=SECONDS_TO_ANSWER,
            retries={"mode": "standard", "total_max_attempts": TRIES},
        )
        with plain(f"talk to {service}"):
            return self._session.client(
                service, region_name=self.region, endpoint_url=self._endpoint, config=config
            )

    @cached_property
    def place(self) -> Place:
        """Where it is.

        Raises:
            AwsError: Amazon does not say.
        """
        with plain("say whose account it is"):
            found = self.client("sts").get_caller_identity()
        return Place(found["Arn"].split(":")[1], self.region, found["Account"])


@contextmanager
def plain(doing: str) -> Iterator[None]:
    """Have what botocore raises be an AwsError in plain words.

    Args:
        doing: What is done, as the end of "Amazon did not".

    Raises:
        AwsError: Something went wrong.
    """
    from botocore import exceptions as of

    try:
        yield
    except (
        of.NoCredentialsError,
        of.PartialCredentialsError,
        of.CredentialRetrievalError,
    ) as error:
        raise AwsError(f"There are no credentials for Amazon: {CREDENTIALS}") from error
    except (of.SSOError, of.TokenRetrievalError) as error:
        raise AwsError(f"The sign-on is over, or was none: {CREDENTIALS}") from error
    except of.NoRegionError as error:
        raise AwsError("No region is known: give '--region', as eu-west-1") from error
    except of.ClientError as error:
        raise AwsError(_said(error, doing)) from error
    except (of.HTTPClientError, of.ConnectionError) as error:
        raise AwsError(
            f"Amazon was not reached to {doing}: {masked(str(error))}. Look at the network, the "
            "proxy (HTTPS_PROXY), the region and '--endpoint-url'"
        ) from error
    except (of.BotoCoreError, ValueError) as error:
        raise AwsError(f"Amazon did not {doing}: {masked(str(error))}") from error


def code_of(error: Any) -> str:
    """What a service calls the error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _said(error: Any, doing: str) -> str:
    code = code_of(error)
    words = masked(str(error.response.get("Error", {}).get("Message", "")))
    if code in DENIED:
        return (
            f"You may not {doing}: {words or code}. docs/guides/deploy.md has the policy that a "
            "deployment needs; roles that somebody else makes are given by '--execution-role', "
            "'--task-role', '--service-role' and '--schedule-role'"
        )
    if code in UNKNOWN:
        return f"Amazon does not know these credentials ({words or code}): {CREDENTIALS}"
    if code in PAST:
        return f"The credentials are out of date ({words or code}): {CREDENTIALS}"
    return f"Amazon did not {doing}: {code}: {words}"
