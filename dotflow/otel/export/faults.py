"""What OpenTelemetry's exporters log for us: each fault once, until an export works again."""

from __future__ import annotations

import logging
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGERS = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)

_QUERY = re.compile(r"\?\S+")

MOST = 20
"""Different lines between two exports that worked: a server may say another thing each time."""


class FaultFilter(logging.Filter):
    """Leaves out what was said before, of exports of ours alone.

    An exporter logs every try of every batch: of an outage of an hour that is a line every few
    seconds, and what it means for the spans our own lines say.
    """

    def __init__(self) -> None:
        super().__init__()
        self._here = threading.local()
        self._said: set[tuple[str, str]] = set()
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self)

    @property
    def words(self) -> str:
        """What was said last of an export of this thread; without a query, which may be secret."""
        return _QUERY.sub("?...", getattr(self._here, "words", ""))

    @contextmanager
    def once(self) -> Iterator[None]:
        """Have what this thread exports meanwhile be one of ours."""
        self._here.is_ours = True
        self._here.words = ""
        try:
            yield
        finally:
            self._here.is_ours = False

    def forget(self) -> None:
        """Have the next fault be told: an export worked."""
        self._said.clear()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged; called by the thread that exports."""
        if not getattr(self._here, "is_ours", False):
            return True
        self._here.words = record.getMessage()
        # Of a try that is repeated the text has the seconds until then.
        is_last = record.levelno >= logging.ERROR
        said = record.name, record.getMessage() if is_last else str(record.msg)
        if said in self._said or len(self._said) >= MOST:
            return False
        self._said.add(said)
        return True


faults = FaultFilter()
