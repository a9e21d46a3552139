"""Looks at everything, and tries each destination."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

from dotflow.cli.doctor import (
    configured,
    in_force,
    program,
    records,
    results,
    spans,
    state,
    trying,
)
from dotflow.cli.doctor.report import Report
from dotflow.otel.export.otlp.exports import tell_of_nowhere
from dotflow.providers.environment import SERVER_VARIABLE, ServerChoice, traces_by_default

if TYPE_CHECKING:
    from dotflow.cli.doctor.in_force import InForce
    from dotflow.cli.doctor.program import Program


def examine(workflow: str | None = None) -> Report:
    """Look at the set-up, and try what it leads to.

    Args:
        workflow: The import string of what returns a workflow; without one the environment alone
            is looked at.
    """
    report = Report()
    looking = program.of_workflow(workflow, report) if workflow else None
    with looking or nullcontext(program.of_environment()) as found:
        _look(report, found)
    return report


def _look(report: Report, found: Program) -> None:
    forced = in_force.look(report, found)
    configured.look(report, found, forced)
    trials = spans.trials(report, forced, found)
    trials += [records.trial(one.destination, one.variable, one.token) for one in found.apis]
    if not trials and not forced.exports and not _is_none():
        tell_of_nowhere()
    if state.is_in_memory():
        report.note(
            "state", "DOTFLOW_OUTBOX is memory: reports not delivered when a process ends are lost"
        )
    else:
        trials.append(state.trial())
        state.look_at_outbox(report)
    trials += results.trials(report, found)
    trying.try_all(report, trials)
    _see_to_server(report, found, forced)


def _is_none() -> bool:
    """Whether the environment says that nothing is reported."""
    return _choice() == ServerChoice.NONE


def _choice() -> str:
    return os.environ.get(SERVER_VARIABLE, "").strip().lower()


def _see_to_server(report: Report, found: Program, forced: InForce) -> None:
    """Say where the Server does not go with what is configured."""
    choice = _choice()
    report.in_force["server"] = [_server(found, choice)]
    if found.server is None and len(found.apis) > 1:
        report.note(
            "records", "both pairs of variables are set: a run reports to the managed dotflow-api"
        )
    if _is_none():
        report.fault(
            "runs", f"{SERVER_VARIABLE} is none: no run is reported, whatever the code says",
            f"take {SERVER_VARIABLE} away",
        )  # fmt: skip
    elif forced.exports and found.has_spans is False:
        report.note(
            "runs", f"the Config reports to {_server(found, choice)}, which makes no spans",
            "write Config(server=ServerOtel()), or set DOTFLOW_SERVER=otel where the code gives "
            "no server",
        )  # fmt: skip
    elif forced.exports and found.has_spans is None and not traces_by_default():
        report.note(
            "runs", "spans are made only for a Config(server=ServerOtel())",
            "DOTFLOW_SERVER=otel makes it the default; --workflow looks at the Config of a program",
        )  # fmt: skip


def _server(found: Program, choice: str) -> str:
    """What a Config reports to."""
    if found.server is not None:
        return type(found.server).__name__
    if traces_by_default():
        return "ServerOtel, unless the code says another one"
    return f"what {SERVER_VARIABLE} says ({choice or ServerChoice.AUTO}), unless the code says it"
