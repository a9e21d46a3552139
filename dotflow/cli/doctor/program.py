"""What reports: the Config of a user's program, or what the environment alone makes of one."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dotflow.cli import flags
from dotflow.cli.commands.start import made_by
from dotflow.core import rehearsal
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.environment import VARIABLES, find_destination
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.server import ServerOtel
from dotflow.providers.server_none import ServerNone
from dotflow.utils.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.abc.server import Server
    from dotflow.abc.storage import Storage
    from dotflow.cli.doctor.report import Report

ARGUMENTS = ("base_url", "user_token")


@dataclass(frozen=True)
class Api:
    """A dotflow-api that is reported to.

    Attributes:
        destination: Which one.
        variable: What names its address: a variable, or an argument.
        token: What names the token.
        is_given: Whether arguments name it.
    """

    destination: Destination
    variable: str
    token: str
    is_given: bool


@dataclass(frozen=True)
class Program:
    """What reports.

    Attributes:
        server: The Server of its Config; None where there is no program.
        otlp: What the arguments of a ServerOtel say of OTLP.
        apis: The dotflow-apis; without a program those of both pairs of variables.
        service_name: `service.name` of a provider that is made, where the environment has none.
        tracer_provider: The provider that a ServerOtel was given; None where it was given none.
        has_logs: Whether log records leave; None if the environment says so.
        storage: The Storage of its Config; None where there is no program.
    """

    server: Server | None = None
    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    apis: list[Api] = field(default_factory=list)
    service_name: str = "dotflow"
    tracer_provider: Any = None
    has_logs: bool | None = None
    storage: Storage | None = None

    @property
    def has_spans(self) -> bool | None:
        """Whether runs are made into spans; None where only the program would say."""
        return None if self.server is None else isinstance(self.server, ServerOtel)


def of_environment() -> Program:
    """What the environment alone says."""
    found = ((dialect, find_destination(dialect=dialect)) for dialect in VARIABLES)
    return Program(apis=[Api(one, *VARIABLES[dialect], False) for dialect, one in found if one])


@contextlib.contextmanager
def of_workflow(path: str, report: Report) -> Iterator[Program]:
    """What the Config of a user's workflow says; nothing is reported while it is made.

    Where the program cannot be looked at, that is a fault, and the environment speaks.

    Args:
        path: The import string of what returns the workflow.
        report: Learns of that.
    """
    try:
        config = _config(path)
    except Exception as error:  # noqa: BLE001 - it is anybody's code
        said = f"{type(error).__name__}: {masked(str(error))}"
        report.fault(
            f"program {path}", f"cannot be looked at: {said}",
            "--workflow names a callable without arguments that returns a DotFlow, as "
            "`dotflow start --workflow` does",
        )  # fmt: skip
        yield of_environment()
        return
    try:
        yield replace(_of_server(config.server), storage=config.storage)
    finally:
        config.guard.call(config.server, "close", 0.0)


def _config(path: str) -> Any:
    flags.find_modules_here()
    with contextlib.redirect_stdout(sys.stderr), _unreported():
        return made_by(path).config


class _Nobody(ServerNone):
    """Is told of a workflow that is made to be looked at; not silent, or its server were asked."""


@contextlib.contextmanager
def _unreported() -> Iterator[None]:
    before, rehearsal.stand_in = rehearsal.stand_in, _Nobody()
    try:
        yield
    finally:
        rehearsal.stand_in = before


def _of_server(server: Server) -> Program:
    channel = getattr(server, "_channel", None)
    destination = getattr(server, "_destination", getattr(channel, "destination", None))
    apis = [] if destination is None else [_api(destination)]
    if not isinstance(server, ServerOtel):
        return Program(server, apis=apis)
    _, provider, service_name = server._provider_choice
    return Program(server, server._otlp, apis, service_name, provider, server._has_logs)


def _api(destination: Destination) -> Api:
    """A dotflow-api; it counts as named by variables where these name the same."""
    dialect = Dialect(destination.dialect)
    named = find_destination(dialect=dialect)
    is_given = named is None or (named.url, named.token) != (destination.url, destination.token)
    names = ARGUMENTS if is_given else VARIABLES[dialect]
    return Api(destination, *names, is_given)
