"""Plants secrets in every place that a user can: python secrets_program.py MODE [kill].

Every credential begins with MARK, and every text that only `redact` can hide holds FREE. The
variables say which Server it is, how it is configured, and how the log writes.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import signal
import sys
import types
from typing import NamedTuple

from opentelemetry import trace

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, ServerDefault

MARK = "zq7hunter"
FREE = "zq7free"


class Row(NamedTuple):
    user: str
    api_key: str


@dataclasses.dataclass
class Settings:
    user: str
    password: str


class Table:
    def __str__(self):
        return f"  user password\n0  ada  {MARK}01"


CONTEXT = {
    "password": f"{MARK}02", "nested": [{"Api-Key": f"{MARK}03", "AUTH": ("ada", f"{MARK}04")}],
    "dsn": f"postgres://ada:{MARK}05@db/x", "row": Row("ada", f"{MARK}06"),
    "settings": Settings("ada", f"{MARK}07"), "table": Table(), "said": f"token={MARK}08",
    "headers": [("Authorization", f"Bearer {MARK}09")], "set": {f"pwd={MARK}10"},
    "command": ["mysql", "--password", f"{MARK}11"], "bytes": f"secret: {MARK}12".encode(),
    "environ": types.MappingProxyType({"AWS_SECRET_ACCESS_KEY": f"{MARK}13"}),
    "user": collections.UserDict(token=f"{MARK}14"), "long": "x" * 4090 + f" password={MARK}15",
    "json": f'{{"client_secret": "{MARK}16"}}', "free": FREE,
}  # fmt: skip


class LoginError(Exception):
    """Its words name what it was given."""

    def __init__(self, text=f"cannot log in with Settings(password='{MARK}20'): {FREE}"):
        super().__init__(text)


@action
def returns(initial_context):
    """The result is the next task's previous context."""
    return [CONTEXT, initial_context.storage]


@action(retry=2, retry_delay=0)
def fails_twice(previous_context):
    with trace.get_tracer("user").start_as_current_span("connect"):
        raise LoginError


@action
def chained():
    """A source line, a cause and a note that name a credential."""
    try:
        connect(password="zq7hunter21")  # the very line is in the traceback
    except LoginError as error:
        failure = ValueError(f"https://ada:{MARK}22@host/?access_token={MARK}23 {FREE}")
        if hasattr(failure, "add_note"):
            failure.add_note(f"Authorization: Bearer {MARK}24")
        raise failure from error


def connect(password):
    raise LoginError(f"Cookie: session={password}")


@action
def records():
    trace.get_current_span().record_exception(ValueError(f"token={MARK}25 {FREE}"))


@action
def cut():
    raise ValueError("x" * 65_520 + f" password='{MARK}26'" + "y" * 100_000)


def called_back(task):
    raise LoginError(f"the callback: pwd={MARK}27")


class Talkative(Notify):
    """What a provider raises is logged."""

    def hook_status_task(self, task):
        raise RuntimeError(f"redis://:{MARK}28@host and secret={MARK}29")


returns.func.__name__ = f"returns token={MARK}30"


def hide(role, value):
    assert role in ("initial", "previous", "current", "error")
    assert role != "error" or type(value) is str
    return "hidden"


def options():
    """The options of the variable, as of every Server."""
    return {
        "": {},
        "whole": {"whole_values": True},
        "redact": {"redact": hide},
        "no contexts": {"contexts": False, "redact": hide},
    }[os.environ.get("SECRETS_OPTIONS", "")]


def main():
    mode, *rest = sys.argv[1:]
    cls = {"otel": ServerOtel, "default": ServerDefault}[os.environ.get("SECRETS_SERVER", "otel")]
    log = LogDefault(
        output="both", path="flow.log", format=os.environ.get("SECRETS_FORMAT", "simple")
    )
    server = cls(**options())
    config = Config(server=server, log=log, notify=Talkative())
    flow = DotFlow(config=config, name=f"etl password={MARK}31")
    for index, step in enumerate((returns, fails_twice, chained, records, cut)):
        flow.task.add(
            step, initial_context=CONTEXT if mode != "spawn" else {"password": MARK, "n": index},
            group_name=f"pwd={MARK}32", callback=called_back if step is records else str_of,
        )  # fmt: skip
    start = {"mode": "parallel", "start_method": "spawn"} if mode == "spawn" else {"mode": mode}
    flow.start(keep_going=True, **start)
    if rest:
        os.kill(os.getpid(), signal.SIGKILL)


def str_of(task):
    """A callback that does nothing."""


if __name__ == "__main__":
    main()
