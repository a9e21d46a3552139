"""The two ways to talk to dotflow-api: who is asked, by which route, with which header."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from urllib.parse import quote, urlsplit

from dotflow.delivery.message import Kind, Message

BULK_PATH = "/bulk"

UNNAMED = ""
"""Stands for the id of a task of which a server that has ids of its own for others says none."""


class Dialect(Enum):
    """The names of the dialects."""

    DEFAULT = "default"
    MANAGED = "managed"


@dataclass(frozen=True)
class Destination:
    """A dotflow-api, and how it is talked to.

    Args:
        url: Its address; a slash at the end makes no difference.
        token: What it knows us by; shown in no `repr`. Of several in a process the newest counts.
        dialect: Which routes and which header it has.
        timeout: Seconds for one call; of several in a process the first one's counts.

    Raises:
        ValueError: The address is no http or https URL, or holds what no message could be sent
            to; or the token is one that no header can hold.
    """

    url: str
    token: str = field(repr=False, compare=False)
    dialect: Dialect = Dialect.DEFAULT
    timeout: float = field(default=15.0, compare=False)

    def __post_init__(self) -> None:
        # What was read from a file often ends with a newline.
        url, token = self.url.strip(), self.token.strip()
        if not _is_address(url):
            # What may hold a password or a key is not repeated.
            shown = "one with more in it" if set("@?") & set(url) else repr(url)
            raise ValueError(
                f"the address of dotflow-api must look like https://host[:port], not {shown}"
            )
        if "@" in urlsplit(url).netloc:
            raise ValueError("the address of dotflow-api must not hold a user or a password")
        if not token.isascii() or not token.isprintable():
            raise ValueError(f"{self.token_variable} has characters that no HTTP header can hold")
        object.__setattr__(self, "url", url.split("#")[0].rstrip("/"))
        object.__setattr__(self, "token", token)

    @property
    def auth_header(self) -> tuple[str, str]:
        """The header that proves who we are: its name and its value."""
        if self.dialect is Dialect.MANAGED:
            return "Authorization", f"Bearer {self.token}"
        return "X-User-Token", self.token

    @property
    def token_variable(self) -> str:
        """The environment variable that holds the token in this dialect."""
        if self.dialect is Dialect.MANAGED:
            return "SERVER_USER_TOKEN"
        return "DOTFLOW_USER_TOKEN"

    @property
    def is_plain_and_far(self) -> bool:
        """Whether the token would cross a network in clear text."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not _is_this_machine(parts.hostname or "")

    def route(self, message: Message, server_id: str | None = None) -> tuple[str, str]:
        """The method and the path of a message, below the address.

        Args:
            message: The message.
            server_id: The id that the server gave to the task, where it gave one.
        """
        if message.kind is not Kind.TASK_PATCH or self.dialect is Dialect.MANAGED:
            return bulk_route(message)
        if server_id == UNNAMED:  # under our number there may be somebody else's task
            return bulk_route(message)
        task = server_id if server_id is not None else str(message.task)
        return "PATCH", f"/tasks/{_quoted(task)}"

    def workflow_url(self, workflow: str) -> str:
        """Where the record of a workflow is."""
        return self.url + self.workflow_path(workflow)

    def workflow_path(self, workflow: str) -> str:
        """The path to the record of a workflow, below the address."""
        return f"/workflows/{_quoted(workflow)}"

    def next_task_id_path(self, workflow: str) -> str:
        """Where the next task number of a workflow is asked for."""
        return f"/workflows/{_quoted(workflow)}/tasks/next-id"


def bulk_route(message: Message) -> tuple[str, str]:
    """The method and the path of a message in a bulk: the same in both dialects."""
    workflow, kind = f"/workflows/{_quoted(message.workflow)}", message.kind
    if kind is Kind.TASK_PATCH:
        return "PATCH", f"{workflow}/tasks/{message.task}"
    if kind is Kind.TASK_POST:
        return "POST", f"{workflow}/tasks"
    return ("POST", "/workflows") if kind is Kind.WORKFLOW_POST else ("PATCH", workflow)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # is read only here
    except ValueError:
        return False
    is_http = parts.scheme in ("http", "https")
    return is_http and bool(parts.hostname) and not parts.query and url.isprintable()


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(maxsize=256)
def _quoted(name: str) -> str:
    if name in (".", ".."):  # which would be taken for folders, and away
        return name.replace(".", "%2E")
    # Half a surrogate pair is in the path what it is in a body: U+FFFD.
    return quote(name.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), safe="")
