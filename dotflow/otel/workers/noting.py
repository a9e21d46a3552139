"""What the code of a step notes on its worker, until who reports has it."""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource

from dotflow.abc.facts import next_number
from dotflow.otel import attributes as names
from dotflow.otel.export.children import step_child
from dotflow.otel.export.otlp.endpoint import LOGS, TRACES
from dotflow.otel.export.provider.resource import resource_of
from dotflow.otel.logs.past import Writer as RecordWriter
from dotflow.otel.logs.record import Record, fields_of
from dotflow.otel.spans.fields import Writer
from dotflow.otel.spans.wording import reworded
from dotflow.runlog import files
from dotflow.runlog.lines import RunLines
from dotflow.runlog.texts import Texts
from dotflow.runlog.writer import run_log
from dotflow.utils.tools import hostname

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.otel.workers.told import Told

MOST_HELD = 8
"""Times the limit of what comes back: so much text is held, for it is packed on its way."""

LIMIT = 2**18
"""Bytes of that limit, until it is known."""

MOST_LATE = 1000
"""Spans that ended after their step, which the next one takes along."""

_late: deque[tuple[str, str, str]] = deque(maxlen=MOST_LATE)
"""Those: who is to have one, its id and its text."""

_NOTING = otel_context.create_key("dotflow-noting")

VERSION = 1


class Noting:
    """What one step notes.

    On the machine of who reports it is in a run log of the worker's, line by line, so that nothing
    is lost with the worker, if who reports reads that; else in memory, and comes back with the
    outcome, bounded.

    Args:
        told: What the worker was told.
        is_local: Whether who reports is on this machine, and finds the log.
    """

    def __init__(self, told: Told, is_local: bool) -> None:
        self._by = told.by
        self._began_ns = time.time_ns()
        self._is_open = True
        self._texts = (Texts.of_parent(**told.texts),)
        self._resource = resource_here(told.service_name)
        self._writer, self._record_writer = Writer(), RecordWriter()
        self._span_lines = _lines(told.spans, TRACES.what) if is_local else None
        self._record_lines = _lines(told.logs, LOGS.what) if is_local else None
        self._adding = threading.Lock()
        self._spans: list[tuple[str, str]] = []
        self._records: list[str] = []
        self._held = 0
        self._left_out: dict[str, str | None] = {}
        self._records_left_out = 0
        self._metrics = ""

    def take_span(self, span: ReadableSpan) -> None:
        """Note a span that ended; called by the thread that ends it."""
        text = self._writer.write(reworded(span, self._texts), self._resource)
        if self._span_lines is not None:
            self._write(self._span_lines.span(next_number(), text))
            return
        own, parent = f"{span.context.span_id:016x}", span.parent
        with self._adding:
            if not self._is_open:
                _late.append((self._by, own, text))
            else:
                self._take(own, None if parent is None else f"{parent.span_id:016x}", text)

    def _take(self, own: str, parent: str | None, text: str) -> None:
        if self._has_room_for(text):
            self._spans.append((own, text))
        else:
            self._left_out[own] = parent

    def _take_late(self) -> None:
        """Take along what ended after earlier steps."""
        for _ in range(len(_late)):
            by, own, text = _late.popleft()
            if by == self._by:
                self._take(own, None, text)
            else:
                _late.append((by, own, text))

    def take_record(self, given: Any) -> None:
        """Note a log record; called by the thread that logs."""
        said = given.log_record
        # In older releases it is the record's.
        dropped: Any = (given if hasattr(given, "resource") else said).dropped_attributes
        fields = fields_of(said, int(dropped), self._texts)
        record = Record(self._resource, given.instrumentation_scope, fields)
        text = self._record_writer.write(record)
        if self._record_lines is not None:
            self._write(self._record_lines.record(next_number(), text))
            return
        with self._adding:
            if self._has_room_for(text):
                self._records.append(text)
            else:
                self._records_left_out += 1

    def _write(self, line: bytes) -> None:
        step_child.say_so()
        run_log.append(line)

    def _has_room_for(self, text: str) -> bool:
        if self._held + len(text) > MOST_HELD * LIMIT:
            return False
        self._held += len(text)
        return True

    def payload(self, limit: int, metrics: str = "") -> bytes:
        """What is in memory, packed into so many bytes; nothing where nothing was noted.

        Args:
            limit: Bytes, at most.
            metrics: What was measured, as text.
        """
        with self._adding:
            self._metrics = metrics
            self._is_open = False
            self._take_late()
            while True:
                payload = self._packed()
                if len(payload) <= limit:
                    return payload
                if not self._spans and not self._records:
                    return b""  # the metrics alone are too much
                self._leave_out(limit / len(payload))

    def _packed(self) -> bytes:
        left_out = [len(self._left_out), self._records_left_out]
        if not (self._spans or self._records or self._metrics or any(left_out)):
            return b""
        head = {
            "v": VERSION, "at": [self._began_ns, time.time_ns()], "spans": len(self._spans),
            "left_out": left_out, "metrics": self._metrics,
        }  # fmt: skip
        spans = [self._with_its_parent(text) for _, text in self._spans]
        return zlib.compress("\n".join([json.dumps(head), *spans, *self._records]).encode())

    def _leave_out(self, share: float) -> None:
        """Keep so much of it, and rather less; the spans that ended last are left out."""
        keep = int(0.9 * share * len(self._spans))
        for own, text in self._spans[keep:]:
            parent = json.loads(text)["parent"]
            self._left_out[own] = None if parent is None else parent[1]
        del self._spans[keep:]
        keep = int(0.9 * share * len(self._records))
        self._records_left_out += len(self._records) - keep
        del self._records[keep:]

    def _with_its_parent(self, text: str) -> str:
        """A span below the nearest one that is not left out, so that it is no orphan."""
        if not self._left_out:
            return text
        said = json.loads(text)
        while said["parent"] is not None and said["parent"][1] in self._left_out:
            parent = self._left_out[said["parent"][1]]
            said["parent"] = None if parent is None else [said["parent"][0], parent, True, 1, ""]
        return json.dumps(said, separators=(",", ":"))


def _lines(endpoints: list[str] | None, what: str) -> RunLines | None:
    """Makes lines for endpoints; None where nobody reads the log for any."""
    to = {files.reader_key(name): what for name in endpoints or ()}
    return RunLines("", 0, to) if to else None


def resource_here(service_name: str) -> Resource:
    """What produces what is noted here: the service of who reports, on this worker."""
    return _resource(service_name, os.getpid())


@lru_cache(maxsize=16)
def _resource(service_name: str, process: int) -> Resource:
    here = Resource({names.HOST_NAME: hostname(), names.PROCESS_PID: process})
    return resource_of(service_name or names.SCOPE).merge(here)


def with_noting(noting: Noting, context: Context) -> Context:
    """A context in which spans and log records are noted there."""
    return otel_context.set_value(_NOTING, noting, context)


def noting_in(context: Context | None = None) -> Noting | None:
    """Where what happens in a context is noted; without one in the current one."""
    found = otel_context.get_value(_NOTING, context)
    return found if isinstance(found, Noting) else None
