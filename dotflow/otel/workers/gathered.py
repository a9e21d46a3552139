"""What workers noted and sent back: it leaves from here, as if the step had run here."""

from __future__ import annotations

import json
import time
import zlib
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from dotflow.logging import logger
from dotflow.otel.logs.processor import OtlpRecords
from dotflow.otel.logs.record import Record
from dotflow.otel.spans import fields
from dotflow.otel.workers.noting import LIMIT, MOST_HELD

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.abc.task import TaskView
    from dotflow.otel.logs.installed import Logs
    from dotflow.otel.metrics.of_server import ServerMetrics

MOST_TEXT = 2 * MOST_HELD * LIMIT
"""Bytes of text that are believed: no worker of ours packs as much."""


def deliver(
    payload: bytes, provider: Any, logs: Logs, metrics: ServerMetrics, task: TaskView
) -> None:
    """Have what a worker noted leave.

    Args:
        payload: What `begun.gather` returned there.
        provider: The tracer provider of this process.
        logs: What this process has of log records.
        metrics: What it has of metrics.
        task: The task that the worker ran, which has begun.

    Raises:
        ValueError: It is nothing that a worker of this version packs.
    """
    head, spans, records = _unpacked(payload, task.started_ns or 0)
    processors: Any = getattr(provider, "_active_span_processor", None)  # all that get its spans
    if processors is not None:
        for span in spans:
            processors.on_end(span)
    for one in logs.processors:
        if isinstance(one, OtlpRecords):
            for record in records:
                one.take_past(record)
    if head["metrics"]:
        try:
            metrics.take(head["metrics"])
        except Exception as error:  # noqa: BLE001 - those of another release may say anything
            logger.debug("Metrics of a worker cannot be read: %r", error)
    left_out, records_left_out = head["left_out"]
    if left_out or records_left_out:
        logger.warning(
            "Step %r noted more on its worker than can come back with its result: %d spans and %d "
            "log records are left out. Set OTEL_EXPORTER_OTLP_ENDPOINT on the worker to have all.",
            task.step.name, left_out, records_left_out,
        )  # fmt: skip


def _unpacked(payload: bytes, low: int) -> tuple[dict[str, Any], list[ReadableSpan], list[Record]]:
    """What was packed, by this process's clock.

    Args:
        payload: It.
        low: When the task began, in nanoseconds since the epoch.
    """
    try:
        text = zlib.decompressobj().decompress(payload, MOST_TEXT).decode()
    except zlib.error as error:
        raise ValueError(f"what a worker noted cannot be unpacked: {error}") from error
    first, *lines = text.split("\n")
    head = json.loads(first)
    number, (began, ended) = head["spans"], head["at"]
    # As the core does with the times of attempts: a worker's clock is another one.
    shift = max(0, low - began) or min(0, time.time_ns() - ended)
    resources: dict[str, Resource] = {}
    spans = [_span(json.loads(line), shift) for line in lines[:number]]
    return head, spans, [_record(json.loads(line), shift, resources) for line in lines[number:]]


def _span(said: dict[str, Any], shift: int) -> ReadableSpan:
    said["start"] += shift
    said["end"] += shift
    for event in said["events"]:
        event[1] += shift
    return fields.read(said)


def _record(said: dict[str, Any], shift: int, resources: dict[str, Resource]) -> Record:
    resource, scope = said.pop("resource"), said.pop("scope")
    for name in ("at", "seen"):
        if said[name] is not None:
            said[name] += shift
    known = json.dumps(resource)
    if known not in resources:  # one object for all: the encoders put these together
        resources[known] = Resource(*resource)
    return Record(resources[known], scope and InstrumentationScope(*scope), said)
