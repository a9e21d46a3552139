"""Show a run of this machine, or a trace from a file, as a waterfall."""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from dotflow.cli.columns import LONGEST_NAME, fit
from dotflow.cli.commands.runs import local_time
from dotflow.cli.errors import CommandError
from dotflow.cli.waterfall import waterfall
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.history.drawing import UNNAMED, bars_of, last_error
from dotflow.history.runs import LocalRuns
from dotflow.utils.error_handler import class_and_message
from dotflow.utils.printable import printable
from dotflow.utils.trace_link import trace_link
from dotflow.waterfall.bars import WORKFLOW
from dotflow.waterfall.rows import by_group
from dotflow.waterfall.texts import lasting

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from dotflow.history.runs import LocalRun
    from dotflow.waterfall.bars import Bar
    from dotflow.waterfall.spans import Span

LAST = "last"

MANY = 200
"""Bars that a terminal shows unless all are asked for."""

LONGEST_ERROR = 300

MOST_FRAME_LINES = 12

TRACEBACK_BEGINS = "Traceback (most recent call last):\n"

GZIP = b"\x1f\x8b"

EPILOG = """\
RUN is the id of a workflow, as `dotflow runs` has it, or as much of its beginning as no other
id has; its name, for the newest run of that; or `last`. FILE is OTLP as JSON: what the exporters
and collectors of OpenTelemetry write to files, one object or one a line, also compressed by gzip;
`-` is standard input.

  dotflow trace last
  dotflow trace last --json > run.json        # Jaeger's page, and whatever else reads OTLP
  dotflow trace last --perfetto > run.json    # ui.perfetto.dev
  dotflow trace spans.jsonl --svg --output run.svg"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("what", metavar="RUN|FILE", help="a run, or a file of OTLP JSON")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="write the spans as OTLP JSON")
    forms.add_argument("--perfetto", action="store_true", help="write the trace for Perfetto")
    forms.add_argument("--svg", action="store_true", help="write a picture (SVG)")
    parser.add_argument("--output", metavar="PATH", help="the file to write (standard output)")
    parser.add_argument(
        "--run", type=int, metavar="N", dest="number",
        help="which run of a workflow that ran several times: 1 is the first (the last)",
    )  # fmt: skip
    parser.add_argument(
        "--trace", metavar="ID", help="which trace of a file with several: the beginning of its id"
    )
    parser.add_argument("--all", action="store_true", help=f"show more than {MANY} lines")


def run(arguments: argparse.Namespace) -> int:
    """Show it, or write it."""
    found = _from_file(arguments) if _is_file(arguments.what) else _of_run(arguments)
    text = _text_of(found, arguments)
    if text is None:
        console = Console(highlight=False)
        for one in found:
            one.show(console, arguments.all)
    elif arguments.output is None:
        sys.stdout.write(text)
    else:
        try:
            Path(arguments.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{arguments.output} cannot be written: {error.strerror}") from error
    return 0


def _text_of(found: Sequence[_Shown], arguments: argparse.Namespace) -> str | None:
    """What is to be written; None where it is to be shown."""
    if arguments.json:
        from dotflow.waterfall.otlp_json import to_otlp

        return json.dumps(to_otlp([span for one in found for span in one.spans()])) + "\n"
    if arguments.perfetto:
        from dotflow.waterfall.perfetto import to_perfetto

        spans = [span for one in found for span in one.spans()]
        return json.dumps(to_perfetto(spans, found[0].title)) + "\n"
    if arguments.svg:
        from dotflow.waterfall.svg import to_svg

        if len(found) > 1:
            raise CommandError(_which_one(found))
        return to_svg(by_group(found[0].bars), title=found[0].title, now=found[0].now) + "\n"
    if arguments.output is not None:
        raise CommandError("--output needs one of --json, --perfetto and --svg.")
    return None


class _Shown:
    """A trace, however it was come by.

    Attributes:
        title: What is written above.
        bars: What is drawn.
        now: Where bars end that go on, in nanoseconds since 1970.
    """

    def __init__(self, title: str, bars: list[Bar], trace_id: str, now: int) -> None:
        self.title = title
        self.bars = bars
        self.trace_id = trace_id
        self.now = now

    def spans(self) -> list[Span]:
        """Its spans."""
        raise NotImplementedError

    def errors(self) -> list[tuple[str, str]]:
        """What failed: a line each, and the frames in which it was raised."""
        return []

    def show(self, console: Console, is_all: bool) -> None:
        """Print it."""
        console.print(Text(printable(self.title), style="bold"), soft_wrap=True)
        bars = self.bars if is_all else _most_telling(self.bars)
        console.print(waterfall(by_group(bars), console.width, self.now))
        if len(bars) < len(self.bars):
            left = len(self.bars) - len(bars)
            console.print(f"and {left} more lines: --all shows all", style="dim")
        for line, frames in self.errors():
            console.print(Text(line, style="red"), soft_wrap=True)
            if frames:
                console.print(Text(printable(frames)), soft_wrap=True)
        link = trace_link(self.trace_id)
        if link is not None:
            console.print(Text(f"trace: {link}"), soft_wrap=True)


def _most_telling(bars: list[Bar]) -> list[Bar]:
    """As many bars as are shown: what failed and what goes on goes before the rest."""
    if len(bars) <= MANY:
        return bars
    weights = {TypeStatus.FAILED: 0, TypeStatus.IN_PROGRESS: 1, TypeStatus.RETRY: 1}
    order = sorted(
        range(len(bars)),
        key=lambda at: (bars[at].kind != WORKFLOW, weights.get(bars[at].status, 2), at),
    )
    return [bars[at] for at in sorted(order[:MANY])]


# Of a run of this machine.


class _OfRun(_Shown):
    def __init__(self, found: LocalRun, said: Mapping[str, Any]) -> None:
        self._run = found
        self._said = said
        took = "" if found.duration is None else f" in {lasting(int(found.duration * 1e9))}"
        title = f"{fit(found.name or UNNAMED, LONGEST_NAME)} ({found.workflow}): {found.status}"
        began = f", began {local_time(found.began_at)}" if found.began_at else ""
        lost = ", its process ended before the run did" if found.is_lost else ""
        super().__init__(
            f"{title}{took}{began}{lost}", bars_of(found, said), found.trace_id, time.time_ns()
        )

    def spans(self) -> list[Span]:
        from dotflow.cli.local.traces import spans_of  # here, for OpenTelemetry takes its time

        return spans_of(self._run, self._said, self.now)

    def errors(self) -> list[tuple[str, str]]:
        failed = [task for task in self._run.all_tasks() if task.status == TypeStatus.FAILED]
        found = [
            (f"task {task.task} ({task.name}): {_words(error)}", _frames(error))
            for task in failed
            for error in [last_error(task)]
        ]
        if self._run.error is not None:
            found.append((f"the run: {_words(self._run.error)}", ""))
        return found


def _words(error: Any) -> str:
    if not isinstance(error, dict):
        return "failed"
    words = class_and_message(str(error.get("exception") or ""), str(error.get("message") or ""))
    return fit(words, LONGEST_ERROR)


def _frames(error: Any) -> str:
    """The frames in which it was raised, the innermost ones: lines of its traceback."""
    if not isinstance(error, dict):
        return ""
    last = str(error.get("traceback") or "").rpartition(TRACEBACK_BEGINS)[2]
    lines = [line for line in last.splitlines() if line.startswith("  ")]
    return "\n".join(lines[-MOST_FRAME_LINES:])


def _of_run(arguments: argparse.Namespace) -> list[_Shown]:
    reader = LocalRuns(contexts=True, spans=True)
    return [_OfRun(_chosen(reader.read(), arguments), reader.spans)]


def _chosen(runs: list[LocalRun], arguments: argparse.Namespace) -> LocalRun:
    """The run that is meant.

    Raises:
        CommandError: There is none, or several.
    """
    what: str = arguments.what
    ids = _meant(runs, what)
    if not ids:
        raise CommandError(
            f"There is no run {what!r} on this machine, and no such file: `dotflow runs` lists "
            "the runs. DOTFLOW_HISTORY=64MB keeps them."
        )
    if len(ids) > 1:
        raise CommandError(f"Several runs begin with {what!r}: {', '.join(sorted(ids)[:5])}.")
    same = [one for one in reversed(runs) if one.workflow in ids]
    number: int | None = arguments.number
    if number is None:
        return same[-1]
    if not 1 <= number <= len(same):
        raise CommandError(f"{same[0].workflow} was run {len(same)} times: --run 1 to {len(same)}.")
    return same[number - 1]


def _meant(runs: list[LocalRun], what: str) -> set[str]:
    """The ids that a word may mean."""
    if what == LAST:
        begun = [one for one in runs if one.status != WorkflowStatus.NEW] or runs
        return {one.workflow for one in begun[:1]}
    ids = {one.workflow for one in runs}
    named = [one.workflow for one in runs if what and one.name == what]
    if what in ids or named:
        return {what if what in ids else named[0]}
    return {one for one in ids if one.startswith(what)}


# From a file.


class _FromFile(_Shown):
    def __init__(self, spans: list[Span]) -> None:
        from dotflow.cli.local.traces import bars_of_spans  # here, as above

        self._spans = spans
        trace_id = spans[0].trace_id
        begin, end = min(one.start for one in spans), max(one.end for one in spans)
        title = f"trace {trace_id}: {len(spans)} spans in {lasting(end - begin)}"
        title += f", began {local_time(begin)}"
        super().__init__(title, bars_of_spans(spans), trace_id, end)

    def spans(self) -> list[Span]:
        return self._spans


def _is_file(what: str) -> bool:
    return what == "-" or Path(what).is_file()


def _from_file(arguments: argparse.Namespace) -> list[_Shown]:
    from dotflow.waterfall.otlp_json import NoOtlpError, from_otlp

    what = arguments.what
    try:
        data = sys.stdin.buffer.read() if what == "-" else Path(what).read_bytes()
        data = gzip.decompress(data) if data.startswith(GZIP) else data
        spans = from_otlp(data.decode(errors="replace"))
    except (NoOtlpError, EOFError, OSError) as error:
        raise CommandError(f"{what} is no OTLP JSON: {error}.") from error
    traces: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: one.start):
        traces.setdefault(span.trace_id, []).append(span)
    wanted = arguments.trace or ""
    found = [_FromFile(of_one) for key, of_one in traces.items() if key.startswith(wanted)]
    if not found:
        raise CommandError(f"There is no trace {wanted!r} in {what}." if wanted else
                           f"There are no spans in {what}.")  # fmt: skip
    return list(found)


def _which_one(found: Sequence[_Shown]) -> str:
    ids = ", ".join(one.trace_id for one in found[:5])
    return f"A picture shows one trace, and there are {len(found)}: name one with --trace ({ids})."
