"""The meter provider that we make where the application has none."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.environment_variables import (
    OTEL_METRIC_EXPORT_INTERVAL,
    OTEL_METRIC_EXPORT_TIMEOUT,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality

from dotflow.logging import logger
from dotflow.otel.export.provider.anew import begin_anew
from dotflow.process import at_exit
from dotflow.process.late import renew_when_used
from dotflow.process.variables import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource

    from dotflow.otel.metrics.out import Out

    Wait = Callable[[float], bool]

INTERVAL, TIMEOUT = 60_000.0, 30_000.0
"""Milliseconds between two exports, and that one may take: those of the SDK."""

Asked = SimpleQueue[bool] | None
"""What the thread is asked: to export, and answer there; or to end."""

LOOK: SimpleQueue[bool] = SimpleQueue()
"""Asks it to look whether anybody uses the provider still."""

MOST_HELD = 1000
"""Workers whose metrics wait to leave; of more the oldest are left out."""

LONGEST_END = 1.0
"""Seconds that the thread is waited for which exports, once it was told to end."""


class OwnMeterProvider(MeterProvider):
    """A meter provider whose readers export in a thread of ours.

    The thread is there as long as somebody uses the provider; a later user has it begin anew. In a
    forked child it begins with nothing, and all that was measured before is the parent's to tell.

    Args:
        readers: The SDK's readers. They have no thread: their interval is without end.
        outs: Those of their exporters that are ours.
        resource: What the metrics are of.
    """

    def __init__(
        self, readers: Sequence[MetricReader], outs: Sequence[Out], resource: Resource
    ) -> None:
        super().__init__(readers, resource, shutdown_on_exit=False)  # at_exit does, in time
        self._outs = outs
        self._is_theirs_alone = len(outs) == len(readers)
        self._seconds = milliseconds(OTEL_METRIC_EXPORT_INTERVAL, INTERVAL) / 1000
        self._begin()
        # Instruments go by the consumer, and whoever flushes all meters by the readers.
        renew_when_used(self, self._measurement_consumer, *readers)

    def _begin(self) -> None:
        self._theirs: dict[Any, MetricsData] = {}
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._asked: SimpleQueue[Asked] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> Any:
        """A meter, as the SDK makes it."""
        meter = super().get_meter(name, version, schema_url, attributes)
        renew_when_used(self, meter)
        return meter

    def _handle_fork(self) -> None:
        """Nothing at the fork: see `renew`. But the lock is one that all providers share."""
        if MeterProvider._all_metric_readers_lock.locked():
            MeterProvider._all_metric_readers_lock = threading.Lock()

    def renew(self) -> None:
        """Begin with nothing in a forked child, when it is first used there."""
        begin_anew([self])
        if hasattr(MeterProvider, "_handle_fork"):  # releases of the SDK before 1.44 have none
            super()._handle_fork()
        for out in self._outs:
            out.let_go()
        self._begin()

    @property
    def is_over(self) -> bool:
        """Whether nobody takes what it measures, and none of its readers tries any more."""
        return self._is_theirs_alone and all(out.is_over for out in self._outs)

    @property
    def temporality(self) -> dict[str, int]:
        """How sums are told, by the kind of instrument: the first exporter of ours decides."""
        for out in self._outs:
            return {cls.__name__: one.value for cls, one in out.temporality.items()}
        return {}

    def take(self, data: MetricsData) -> None:
        """Have what a worker measured leave with what is measured here; called by any thread.

        Sums since the worker began take the place of those that it has told before.
        """
        resource = data.resource_metrics[0].resource
        key = None if _has_deltas(data) else tuple(sorted(map(str, resource.attributes.items())))
        while len(self._theirs) >= MOST_HELD:
            self._theirs.pop(next(iter(self._theirs)), None)
        self._theirs.pop(key, None)
        self._theirs[key or object()] = data

    def use(self, user: Any) -> None:
        """Have somebody use it: what is measured leaves every now and then."""
        if user not in self._users:
            self._users.add(user)
            # Its end takes no lock: the garbage collector may come anywhere.
            weakref.finalize(user, self._asked_to_look).atexit = False
        if self._thread is not None or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None and not self.is_over:
                self._start()
        finally:
            self._starting.release()

    def _start(self) -> None:
        self._asked = SimpleQueue()
        thread = threading.Thread(
            target=self._work, args=(self._asked,), name="dotflow-metrics", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends: `begin_flush` exports where it is called
            logger.debug("No thread can be started for metrics any more.")
        else:
            self._thread = thread
        at_exit.keep(self)
        at_exit.close_here()

    def _asked_to_look(self) -> None:
        """Learn that a user is gone; called by the garbage collector."""
        self._asked.put(LOOK)

    def begin_flush(self) -> Wait:
        """Begin to export what was measured; return what waits for it, at most some seconds."""
        answer: SimpleQueue[bool] = SimpleQueue()
        if self._thread is None:
            answer.put(self._export())
        else:
            self._asked.put(answer)
        return lambda timeout: _answered(answer, timeout)

    def leave(self, user: Any, timeout: float) -> bool:
        """Take back `use`: export what was measured, and stop where nobody else uses it.

        Args:
            user: Who used it.
            timeout: Seconds for that.

        Returns:
            Whether it was exported.
        """
        self._users.discard(user)
        return self.begin_flush()(timeout) if self._users else self.close(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Export what was measured, and release the thread and the connections."""
        seconds = at_exit.flush_timeout() if timeout is None else timeout
        deadline = time.monotonic() + seconds
        thread = self._thread
        is_sent = self.begin_flush()(seconds)
        self._thread = None
        self._asked.put(None)
        # First: an export that begins just now would open a connection that nobody closes.
        if thread is not None:
            thread.join(min(LONGEST_END, max(0.05, deadline - time.monotonic())))
        for out in self._outs:
            out.end(is_sent)
        at_exit.forget(self)
        return is_sent

    def _work(self, asked: SimpleQueue[Asked]) -> None:
        due = time.monotonic() + self._seconds
        while not self.is_over:
            try:
                answer = asked.get(
                    timeout=max(0.0, min(due - time.monotonic(), threading.TIMEOUT_MAX))
                )
            except Empty:
                self._export()
                due = time.monotonic() + self._seconds
                continue
            if answer is None:
                return
            if answer is not LOOK:
                answer.put(self._export())
            elif not self._users:
                self._export()
                break
        self._end_of_all(asked)
        if self._users and not self.is_over:  # somebody came meanwhile
            self._start()

    def _end_of_all(self, asked: SimpleQueue[Asked]) -> None:
        """Nobody measures, or takes metrics: no thread is needed, and who waits is told."""
        self._thread = None
        while True:
            try:
                answer = asked.get_nowait()
            except Empty:
                return
            if answer not in (None, LOOK):
                answer.put(True)

    def _export(self) -> bool:
        """Have all readers collect and export; whether all of it was taken."""
        if self.is_over:
            return True
        try:
            self.force_flush(milliseconds(OTEL_METRIC_EXPORT_TIMEOUT, TIMEOUT))
        except Exception as error:  # noqa: BLE001 - a reader or a callback may be anybody's
            logger.debug("Metrics could not be exported: %r", error)
            return False
        self._export_theirs()
        return not any(out.is_behind for out in self._outs)

    def _export_theirs(self) -> None:
        for key, data in list(self._theirs.items()):
            for out in self._outs:
                out.export(data)
            is_taken = all(out.is_well or out.is_over for out in self._outs)
            if is_taken and self._theirs.get(key) is data:  # and none came meanwhile
                del self._theirs[key]


def _has_deltas(data: MetricsData) -> bool:
    """Whether some of it are sums since the last time: none of these may be left out."""
    found = (
        getattr(metric.data, "aggregation_temporality", None)
        for one in data.resource_metrics
        for scope in one.scope_metrics
        for metric in scope.metrics
    )
    return any(one is AggregationTemporality.DELTA for one in found)


def milliseconds(name: str, default: float) -> float:
    """The milliseconds that a variable says; the default where it says none."""
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    try:
        found = float(given)
    except ValueError:
        found = 0.0
    if found > 0 and not math.isnan(found):
        return found
    warn(f"{name} is {given!r}, which is no number of milliseconds above 0: it is {default:g}.")
    return default


def _answered(answer: SimpleQueue[bool], timeout: float) -> bool:
    try:
        return answer.get(timeout=max(0.0, timeout))
    except Empty:
        return False
