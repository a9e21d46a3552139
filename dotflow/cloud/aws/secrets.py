"""The secrets of a function, which Lambda does not put into its environment."""

from __future__ import annotations

import json
import os
from typing import Any

SECRET, PARAMETERS, NAMES = "DOTFLOW_SECRET", "DOTFLOW_PARAMETERS", "DOTFLOW_SECRET_NAMES"
MOST = 10  # parameters in one call


class SecretMissing(Exception):
    """There is no value for a variable that has to have one."""


def load_secrets() -> None:
    """Put the secrets that the environment names into it, unless they are there already.

    DOTFLOW_SECRET_NAMES has the variables, with commas between. DOTFLOW_PARAMETERS is the path of
    their parameters in Systems Manager; else DOTFLOW_SECRET is the secret of Secrets Manager.

    Raises:
        SecretMissing: One of them has no value there.
        Exception: They cannot be read; boto3 says why.
    """
    names = [name for name in os.environ.get(NAMES, "").split(",") if name]
    wanted = [name for name in names if not os.environ.get(name)]
    if not wanted:
        return
    path = os.environ.get(PARAMETERS)
    where = path or os.environ[SECRET]
    found = _of_parameters(path, wanted) if path else _of_secret(where)
    missing = [name for name in wanted if not found.get(name)]
    if missing:
        raise SecretMissing(f"'{where}' has no {' and no '.join(missing)}: add it there.")
    for name in wanted:
        os.environ[name] = str(found[name])


def _of_secret(secret: str) -> dict[str, Any]:
    import boto3  # here, for it is an extra

    text = boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SecretMissing(
            f"'{secret}' is no JSON object: write its values by the variables' names."
        )
    return found


def _of_parameters(path: str, names: list[str]) -> dict[str, Any]:
    import boto3

    client = boto3.client("ssm")
    found: dict[str, Any] = {}
    for begin in range(0, len(names), MOST):
        asked = [f"{path}/{name}" for name in names[begin : begin + MOST]]
        answer = client.get_parameters(Names=asked, WithDecryption=True)
        found |= {one["Name"].rpartition("/")[2]: one["Value"] for one in answer["Parameters"]}
    return found
