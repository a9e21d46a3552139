"""What one ServerOtel counts and measures; nothing is begun for it before the first run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.logging import logger
from dotflow.otel.export.deadline import DeadlineRunner
from dotflow.runlog import lateness

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.metrics.tally import Tally

    Wait = Callable[[float], bool]

LATE = "metrics"
"""What stands for the ways out of metrics, where one was late."""


class ServerMetrics:
    """Finds or makes the meter provider, and flushes it.

    Args:
        runs: Knows which runs are under way.
        otlp: What the arguments say of OTLP.
        provider: The meter provider to use, in place of the global one.
        set_global: Whether one that is made becomes the global one.
        service_name: `service.name` of one that is made, where the environment has none.
    """

    def __init__(
        self, runs: Any, otlp: OtlpSettings, provider: Any, set_global: bool, service_name: str
    ) -> None:
        self._runs = runs
        self._otlp = otlp
        self._provider = provider
        self._choice = set_global, service_name
        self._tally: Tally | None = None
        self._runner: DeadlineRunner | None = None

    def load(self) -> None:
        """Load what a run is counted with: no run is to wait for that."""
        if self._provider is None:
            from dotflow.otel.metrics import provider as found

            found.load(found.settings_of(self._otlp))

    def tally(self) -> Tally | None:
        """What counts a run that begins now; None where nobody wants metrics. Never raises."""
        try:
            return self._open()
        except Exception as error:  # noqa: BLE001 - a meter provider may be anybody's
            logger.warning("Runs are not counted: %s", error)
            return None

    def _open(self) -> Tally | None:
        from dotflow.otel.metrics import provider as found

        if self._provider is None:
            self._provider = found.provider_of(found.settings_of(self._otlp), *self._choice)
            if self._provider is None:
                return None
        if self._tally is None:
            self._tally = found.tally_of(self._provider)
            self._tally.sources.add(self._runs)
        self._tally.is_used = True
        own = found.own(self._provider)
        if own is None:
            return self._tally
        own.use(self)
        return None if own.is_over else self._tally

    @property
    def are_counted(self) -> bool:
        """Whether a run was counted."""
        return self._tally is not None

    @property
    def for_a_worker(self) -> dict[str, str]:
        """What a worker of an executor is told of metrics."""
        if self._tally is None:
            return {}
        from dotflow.otel.metrics import provider, workers

        return workers.for_a_worker(provider.own(self._provider))

    def take(self, text: str) -> None:
        """Have what a worker measured leave.

        Args:
            text: What `workers.measuring.gather` gave there.
        """
        from dotflow.otel.metrics import provider, workers

        ours = provider.own(self._provider)
        if ours is not None:
            ours.take(workers.unpacked(text))

    def begin_flush(self) -> Wait:
        """Begin to export what was measured; return what waits for it, at most some seconds."""
        if self._tally is None:
            return _nothing
        from dotflow.otel.metrics.provider import own

        ours = own(self._provider)
        if ours is not None:
            return ours.begin_flush()
        if self._runner is None:
            self._runner = DeadlineRunner()
        return self._runner.begin(self._flush_theirs)

    def _flush_theirs(self) -> bool:
        flush = getattr(self._provider, "force_flush", None)
        try:
            return flush is None or flush() is not False
        except Exception as error:  # noqa: BLE001 - it may be anybody's
            logger.debug("The meter provider could not be flushed: %r", error)
            return False

    def deliver(self, timeout: float) -> bool:
        """Export what was measured, unless that was late a moment ago; see `Server.deliver`."""
        if self._tally is None:
            return True
        if lateness.is_late(LATE):
            return False
        is_sent = self.begin_flush()(timeout)
        if not is_sent:
            lateness.note(LATE)
        return is_sent

    def close(self, timeout: float) -> bool:
        """Export what was measured, and release the threads; whether it was exported in time."""
        if self._tally is None:
            return True
        from dotflow.otel.metrics.provider import own

        ours = own(self._provider)
        if ours is not None:
            return ours.leave(self, timeout)
        is_sent = self.begin_flush()(timeout)
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.stop()
            if is_sent:
                runner.join(1.0)
        return is_sent


def _nothing(_timeout: float) -> bool:
    return True
