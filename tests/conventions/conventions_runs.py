"""Runs that emit what dotflow emits: each way to run tasks, and each way a task can end."""

from __future__ import annotations

import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from opentelemetry._logs import _internal
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from support.fault_server import TOKEN, FaultServer

from dotflow import Config, DotFlow, action
from dotflow.cli.doctor.examining import examine
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, LogOpenTelemetry, StorageFile

TIMEOUT = 60  # seconds that nothing here takes

tries = {}
released = threading.Event()
current = []


@action
def fine(initial_context, previous_context):
    return initial_context.storage


@action(retry=2, retry_delay=0)
def second_time():
    tries["n"] = tries.get("n", 0) + 1
    if tries["n"] == 1:
        raise ConnectionError("away")


@action
def fails():
    raise ValueError("no rows")


@action(timeout=0.05)
def slow():
    released.wait(TIMEOUT)


@action
def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(task):
    raise SystemExit


@action
def speaks():
    try:
        raise ValueError("no rows")
    except ValueError:
        logging.getLogger("shop").exception("of %s", "penguins")


@action
def within():
    run(current[0], [fine], name="inner")
    current[0].flush(TIMEOUT)  # what is under way is measured while it is


def run(
    server, steps, mode="sequential", name="etl", added=None, resume=False, log=None, executor=None,
    **known,
):  # fmt: skip
    """Run steps, each with a context that spans cut."""
    storage = {"storage": StorageFile(path="out")} if "workflow_id" in known else {}
    log = log or LogDefault(level="ERROR", output="file")
    config = Config(server=server, log=log, **storage)
    flow = DotFlow(config=config, name=name, **known)
    for number, step in enumerate(steps):
        group = f"group {number % 2}" if mode == "sequential_group" else "default"
        flow.task.add(step, initial_context="x" * 64, group_name=group, **added or {})
    manager = flow.start(mode=mode, keep_going=True, resume=resume, executor=executor)
    if mode == "background":
        assert manager.wait(TIMEOUT)


def everything(url, patch):
    """Emit what ServerOtel emits, to an OTLP endpoint.

    Args:
        url: The endpoint, over HTTP.
        patch: Sets the variables that runs are made with.
    """
    tries.clear()
    released.clear()
    patch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "cicd")
    plain = ServerOtel(endpoint=url, set_global=False, context_limit=16)
    current[:] = [plain]
    run(plain, [fine, second_time, fails, slow, within, fine])
    run(plain, [fine], mode="background", name=None)
    run(plain, [fine, fails, dies], mode="parallel")
    run(plain, [fine, fine], mode="sequential_group")
    with ThreadPoolExecutor(1) as pool:
        run(plain, [fine], mode="parallel", executor=pool)
    for resume in (False, True):
        run(plain, [fine, fine], workflow_id="orders", resume=resume)
    for status in ("In progress", "Completed"):  # by the calls of old, which say no mode
        plain.update_workflow("old", status)
    marked = ServerOtel(endpoint=url, set_global=False, markers=True, tasks_per_trace=1)
    run(marked, [fine, fails])
    released.set()
    reported_run(url)

    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    patch.setattr(_internal, "_LOGGER_PROVIDER", logs)
    patch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    talking = ServerOtel(endpoint=url, set_global=False, logs=True)
    run(talking, [fails, speaks, second_time], log=LogOpenTelemetry(output="file"))
    with suppress(SystemExit):
        run(talking, [fine], added={"callback": leaves})

    for server in (plain, marked, talking):
        assert server.flush(TIMEOUT).complete
        server.close(TIMEOUT)
    logs.shutdown()
    patch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/v1/traces")
    examine()


def reported_run(url):
    """Emit what a server emits that reports to a dotflow-api itself."""
    api = FaultServer()
    server = ServerOtel(api.url, TOKEN, endpoint=url, set_global=False)
    run(server, [fine, second_time])
    assert server.close(TIMEOUT).complete
    api.close()
