"""The rows of the table: which cases each needs, and how its figure comes from their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.running import UPSTREAM, Case, Result

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = 3
"""How often a row is measured at most whose programs run for long."""

OTHER_APIS = {"0/bulk": "0 ms", "200/bulk": "200 ms", "hangs": "hanging", "away": "away"}
"""The dotflow-apis that are reported to beside the usual one, and what the table calls them."""

PARALLEL = 16
TASKS_A_RUN = 100
"""How many tasks each run of the many has."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        key: What `--rows` calls it.
        title: What is measured.
        unit: What its figure counts; "times" for a ratio.
        cases: The cases that it needs.
        figure: Makes the figure from one result of each case, in their order.
        budget: What the figure may be, where somebody has said so.
        most: How often it is measured at most; without one as often as all.
        has_busy: Whether it is measured with a busy thread too.
        picture: Which panel of the plot shows it.
    """

    key: str
    title: str
    unit: str
    cases: tuple[Case, ...]
    figure: Callable[..., float]
    budget: str = ""
    most: int | None = None
    has_busy: bool = False
    picture: str = ""


@dataclass(frozen=True)
class Sizes:
    """How many tasks the rows have; `--tasks` is the first, and the others follow from it."""

    tasks: int

    @property
    def program(self) -> int:
        """The tasks of a program that ends, and of what is drained."""
        return 2 * self.tasks

    @property
    def queue(self) -> int:
        """The tasks of the run whose spans are counted."""
        return 10 * self.tasks

    @property
    def long(self) -> int:
        """The tasks of one long run, and of many runs together."""
        return 100 * self.tasks


def rows_of(sizes: Sizes, with_upstream: bool) -> list[Row]:
    """All rows, in the table's order."""
    return [
        *_engine(sizes, with_upstream),
        *_reports(sizes),
        *_delivery(sizes),
        *_memory(sizes),
        *_processes(with_upstream),
    ]


def _engine(sizes: Sizes, with_upstream: bool) -> list[Row]:
    rows = []
    kinds = (("plain", "with its default log lines"), ("nolog", "without log lines"))
    for variant, title in kinds:
        ours = Case(variant, sizes.tasks)
        upstream = Case(variant, sizes.tasks, who="upstream")
        rows.append(
            Row("engine", f"engine {title}", "µs a task", (ours,), _per_task(sizes.tasks),
                has_busy=True, picture="engine")
        )  # fmt: skip
        if with_upstream:
            rows += [
                Row("engine", f"{UPSTREAM} {title}", "µs a task", (upstream,),
                    _per_task(sizes.tasks), has_busy=True, picture="engine"),
                Row("engine", f"engine {title}, to {UPSTREAM}'s", "times", (ours, upstream),
                    lambda one, other: one.run / other.run, "0.6", has_busy=True),
            ]  # fmt: skip
    return rows


def _reports(sizes: Sizes) -> list[Row]:
    """What reporting adds to a run, and how much that is to what the bare SDK adds."""
    tasks = sizes.tasks
    calls, sdk, plain = (Case(one, tasks) for one in ("calls", "sdk", "plain"))
    rows = [
        Row("sdk", "the bare OpenTelemetry SDK adds", "µs a task", (sdk, calls), _added(tasks),
            has_busy=True, picture="added")
    ]  # fmt: skip
    at_20_ms = Case("api", tasks)
    cases = (
        ("otlp", "OTLP (HTTP)", Case("otlp", tasks), "1.25"),
        ("api", "dotflow-api, 20 ms", at_20_ms, "1.5"),
        ("both", "both, dotflow-api at 20 ms", Case("both", tasks), "2.25"),
    )
    for key, title, case, budget in cases:
        rows += [
            Row(key, f"{title}: adds", "µs a task", (case, plain), _added(tasks),
                has_busy=True, picture="added"),
            Row(key, f"{title}: adds, to what the bare SDK adds", "times",
                (case, plain, sdk, calls), _added_ratio, budget, has_busy=True),
        ]  # fmt: skip
    for api, name in OTHER_APIS.items():
        case = Case("api", tasks, api=api)
        rows += [
            Row("apis", f"dotflow-api, {name}: adds", "µs a task", (case, plain), _added(tasks),
                has_busy=True, picture="added"),
            Row("apis", f"dotflow-api, {name}: adds, to what it adds at 20 ms", "times",
                (case, plain, at_20_ms, plain), _added_ratio, "0.9 to 1.1", has_busy=True),
        ]  # fmt: skip
    return rows


def _delivery(sizes: Sizes) -> list[Row]:
    queue, program = sizes.queue, sizes.program
    calls = 2 * program
    left = Case("api", program, end="default")
    rows = [
        Row("spans", f"spans that arrive of {queue + 1:,}, default settings", "spans",
            (Case("otlp", queue, end="default"),), lambda one: one.spans, f"{queue + 1:,}",
            most=SLOW),
        Row("left", f"a program of {program:,} tasks, dotflow-api at 20 ms, default settings: "
            f"undelivered of {calls:,} when it has ended", "states of tasks", (left,),
            lambda one: calls - one.posted - one.ended, "0"),
    ]  # fmt: skip
    plain = Case("plain", program)
    for api, name, spent, drained in (
        ("20/bulk", "bulk", "300", "1.5"), ("20/single", "single calls", "900", "11")
    ):  # fmt: skip
        both = Case("both", program, api=api, end="flush")
        rows += [
            Row("cpu", f"processor for reporting, both on, all delivered, {name}", "µs a task",
                (both, plain), lambda one, base: (one.cpu - base.cpu) / program * 1e6, spent,
                most=SLOW),
            Row("drain", f"{program:,} tasks' calls drained after the run, {name}", "s", (both,),
                lambda one: one.flush, drained, most=SLOW),
        ]  # fmt: skip
    return rows


def _memory(sizes: Sizes) -> list[Row]:
    long, runs = sizes.long, 2 * sizes.long // TASKS_A_RUN
    both, plain = Case("both", long), Case("plain", long)
    short = Case("both", sizes.tasks)
    many = {
        variant: Case(variant, TASKS_A_RUN, runs, end="flush")
        for variant in ("plain", "otlp", "api")
    }
    rows = [
        Row("long", f"one run of {long:,} tasks, both on: memory over plain", "KB a task",
            (both, plain), lambda one, base: (_ran(one) - _ran(base)) / long * 1e3, "1", most=SLOW),
        Row("long", f"the same: time a task, to a run of {sizes.tasks:,}", "times", (both, short),
            lambda one, other: (one.run / long) / (other.run / sizes.tasks), "1.1", most=SLOW),
        Row("growth", f"{runs:,} runs of {TASKS_A_RUN} on one Config, second half: the engine's "
            "growth", "MB in 100,000 tasks", (many["plain"],), _growth(long), "bounded", most=SLOW),
    ]  # fmt: skip
    for variant, name in (("otlp", "OTLP"), ("api", "dotflow-api")):
        rows.append(
            Row("growth", f"the same: what {name} adds to it", "MB in 100,000 tasks",
                (many[variant], many["plain"]),
                lambda one, base: _growth(long)(one) - _growth(long)(base), "1", most=SLOW)
        )  # fmt: skip
    return rows


def _processes(with_upstream: bool) -> list[Row]:
    both, plain = (Case(one, PARALLEL, mode="parallel") for one in ("both", "plain"))
    one_task = [Case(variant, 1, end="default") for variant in ("both", "plain")]
    imports = {name: Case(f"import {name}") for name in ("dotflow", "otel", "sdk")}
    rows = [
        Row("parallel", f"{PARALLEL} tasks in parallel, both on, to plain", "times", (both, plain),
            lambda one, base: one.run / base.run, "1.4", has_busy=True),
        Row("import", "`import dotflow`", "ms", (imports["dotflow"],), lambda one: one.run * 1e3),
        Row("import", "`from dotflow.otel import ServerOtel`, to the SDK's and its exporter's",
            "times", (imports["otel"], imports["sdk"]), lambda one, sdk: one.run / sdk.run, "1.3"),
        Row("script", "a script of one task, start to exit, both on: over plain", "s",
            tuple(one_task), lambda one, base: one.whole - base.whole, "0.2"),
    ]  # fmt: skip
    if with_upstream:
        theirs = Case("import dotflow", who="upstream")
        rows.insert(
            2, Row("import", f"`import dotflow`, to {UPSTREAM}'s", "times",
                   (imports["dotflow"], theirs), lambda one, other: one.run / other.run, "0.25")
        )  # fmt: skip
    return rows


def _per_task(tasks: int) -> Callable[[Result], float]:
    return lambda one: one.run / tasks * 1e6


def _added(tasks: int) -> Callable[[Result, Result], float]:
    return lambda one, base: (one.run - base.run) / tasks * 1e6


def _added_ratio(one: Result, base: Result, other: Result, its_base: Result) -> float:
    return (one.run - base.run) / (other.run - its_base.run)


def _ran(one: Result) -> float:
    return one.ran_mb - one.base_mb


def _growth(tasks: int) -> Callable[[Result], float]:
    """The memory that so many tasks took, once all was warm; for 100,000 tasks."""
    return lambda one: (one.end_mb - one.warm_mb) / tasks * 1e5
