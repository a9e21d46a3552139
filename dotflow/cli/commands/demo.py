"""Run a pipeline on real data, and show the trace and the records that it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import dotflow
from dotflow.cli.demo_runs import Demo, Failing
from dotflow.cli.errors import CommandError
from dotflow.cli.signals import asked_to_end
from dotflow.core.config import Config
from dotflow.providers import LogDefault
from dotflow.runlog import history
from dotflow.settings import Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from dotflow.delivery.dialect import Destination
    from dotflow.otel import ServerOtel

DATABASE = Settings.START_PATH / "dotflow-demo.db"
FLUSH_TIMEOUT = 10.0  # seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--json", action="store_true", help="print one JSON object instead")
    either.add_argument(
        "--serve", action="store_true", help="keep showing the runs on a page, until Ctrl-C"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 only where the run completed and everything was delivered."""
    with history.by_default(), running(arguments.serve) as runs:
        demo = runs(fails_too=not arguments.json)
        if arguments.json:
            sys.stdout.write(json.dumps(demo.as_json()) + "\n")
        else:
            from dotflow.cli.demo_page import show

            show(demo, Console(highlight=False))
        if demo.is_served:
            sys.stdout.write("Ctrl-C ends it.\n")
            sys.stdout.flush()
            with asked_to_end() as is_asked:
                is_asked.wait()
    return 0 if demo.is_well else 1


def run_demo() -> Demo:
    """Run the pipeline of examples/ and collect what was reported of it."""
    with running() as runs:
        return runs(fails_too=True)


@contextlib.contextmanager
def running(is_served: bool = False) -> Iterator[Callable[..., Demo]]:
    """Gives what runs the demo; the dotflow-api that it reports to is there until the end.

    Args:
        is_served: Whether people will look at its pages.
    """
    example = _example()
    with (
        _without_a_proxy(),
        _destination(is_served) as (destination, database),
        example.Mirror() as mirror,
    ):

        def runs(fails_too: bool) -> Demo:
            return _collected(example, mirror.url, destination, database, fails_too, is_served)

        yield runs


@contextlib.contextmanager
def _without_a_proxy() -> Iterator[None]:
    """Within this, no proxy of the environment is asked for what this process itself serves."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    known = [one for one in (before["no_proxy"] or before["NO_PROXY"], "127.0.0.1") if one]
    os.environ.update(dict.fromkeys(before, ",".join(known)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _collected(
    example: Any, url: str, destination: Destination, database: Path | None, fails_too: bool,
    is_served: bool,
) -> Demo:  # fmt: skip
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
        InMemorySpanExporter,
    )

    from dotflow.otel import ServerOtel

    # Not global: the API may run in this very process, and its framework would trace itself.
    server = ServerOtel(destination.url, destination.token, destination.dialect, set_global=False)
    collected = InMemorySpanExporter()
    server.tracer_provider.add_span_processor(SimpleSpanProcessor(collected))
    workflow = example.pipeline(url, Config(server=server, log=LogDefault(level="ERROR")))
    manager = workflow.start(mode="sequential_group")
    spans = list(collected.get_finished_spans())
    failing = _failing(example, url, server, collected) if fails_too else None
    delivery = server.flush(FLUSH_TIMEOUT)
    record, tasks, problem = _records(destination, str(workflow.workflow_id))
    exported = server.spans_exported
    server.close()
    return Demo(
        workflow, manager.status, spans, exported, delivery, destination.url, record, tasks,
        problem, database, failing, is_served and database is not None,
    )  # fmt: skip


def _failing(
    example: Any, url: str, server: ServerOtel, collected: InMemorySpanExporter
) -> Failing:
    """Run the pipeline that fails; its error is shown once, by us."""
    collected.clear()
    workflow = example.failing_pipeline(
        url, Config(server=server, log=LogDefault(level="CRITICAL"))
    )
    run = workflow.start()
    failed = run.failed_tasks[0] if run.failed_tasks else None
    said = "" if failed is None else f"{failed.step.name}: "
    error = f"{said}{run.error.exception}: {run.error.message}" if run.error else ""
    return Failing(workflow, run.status, error, list(collected.get_finished_spans()))


def _example() -> Any:
    """The pipeline: inside the package where that was built as a wheel, else beside it."""
    package = Path(dotflow.__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        file = folder / "penguins.py"
        if file.exists():
            spec = spec_from_file_location("penguins", file)
            if spec is not None and spec.loader is not None:
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise CommandError("The examples are not installed: reinstall dotflow")


@contextlib.contextmanager
def _destination(is_open: bool) -> Iterator[tuple[Destination, Path | None]]:
    """The dotflow-api of the environment; without one a reference API in this process.

    Args:
        is_open: Whether everybody on this machine may look at it: a page has no token to send.
    """
    from dotflow.delivery.dialect import Destination
    from dotflow.delivery.environment import find_destination

    configured = find_destination()
    if configured is not None:
        yield configured, None
        return
    try:
        from dotflow.api import ApiServer
    except ModuleNotFoundError as error:
        raise CommandError(
            f"The demo starts a dotflow-api, which needs {error.name}: "
            "pip install 'dotflow[api]'. Or name one with DOTFLOW_SERVER_URL and "
            "DOTFLOW_USER_TOKEN."
        ) from error
    try:
        DATABASE.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"The demo keeps its records in {DATABASE.parent}, which cannot be made "
            f"({error.strerror}): set DOTFLOW_OUTPUT_PATH to a folder that can."
        ) from error
    token = secrets.token_urlsafe()
    with ApiServer(f"sqlite:///{DATABASE}", None if is_open else token) as api:
        yield Destination(api.url, token), DATABASE


def _records(
    destination: Destination, workflow: str
) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None, str]:
    """The workflow and its tasks as dotflow-api has them now, or why it does not say."""
    import requests
    from requests.auth import AuthBase

    class Token(AuthBase):
        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            name, value = destination.auth_header
            request.headers[name] = value
            return request

    def get(path: str) -> Any:
        answer = requests.get(
            f"{destination.url}/workflows/{path}", auth=Token(), timeout=10, allow_redirects=False
        )
        answer.raise_for_status()
        return answer.json()

    try:
        record, answer = get(workflow), get(f"{workflow}/tasks")
        return {**record, "status": record["status"]}, list(answer["tasks"]), ""
    except requests.HTTPError as error:
        return None, None, f"the server answers {error.response.status_code}"
    except requests.RequestException:
        return None, None, "the server does not answer"
    except (KeyError, TypeError):
        return None, None, "the server answers something else"
