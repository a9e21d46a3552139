"""Where people see a trace, and who is told of a failure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotflow.core.exception import ModuleNotFound
from dotflow.providers.environment import NOTIFY_URLS
from dotflow.utils import trace_link

if TYPE_CHECKING:
    from dotflow.cli.doctor.report import Report


def look(report: Report) -> None:
    """Say what the variables say of it. Nobody is told of anything for a try."""
    _link(report)
    _people(report)


def _link(report: Report) -> None:
    given = os.environ.get(trace_link.VARIABLE, "").strip()
    wrong = trace_link.fault_of(given) if given else ""
    if wrong:
        report.fault(
            "traces", f"{trace_link.VARIABLE} {wrong}: there are no links to traces",
            f"write it as https://jaeger.example/trace/{trace_link.PLACE}, without a password",
        )  # fmt: skip
    source = "variable" if given and not wrong else "default"
    value = given if source == "variable" else "none"
    report.set("traces", "link", value, source, trace_link.VARIABLE)


def _people(report: Report) -> None:
    from dotflow.providers.notify_addresses import Address, parted  # here, for few have any

    names = []
    given = parted(os.environ.get(NOTIFY_URLS, ""))
    for place, url in enumerate(given, 1):
        try:
            names.append(Address(url, place).name)
        except ValueError as error:  # noqa: PERF203 - the others are looked at, too
            report.fault(
                "notices", f"{NOTIFY_URLS}: {error}", "write it as docs/guides/notify.md shows it"
            )
        except ModuleNotFound:
            report.fault(
                "notices", f"{NOTIFY_URLS} is set, but Apprise is not installed: no notice is sent",
                "pip install 'dotflow[notify]'",
            )  # fmt: skip
            break
    source = "variable" if names else "default"
    report.set("notices", "who is told", ", ".join(names) or "nobody", source, NOTIFY_URLS)
