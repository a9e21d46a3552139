"""The way out of metrics: OpenTelemetry's OTLP exporters, bounded, and heard once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from dotflow.delivery.http.untraced import untraced
from dotflow.logging import logger
from dotflow.otel.export.otlp.endpoint import endpoint_name, endpoint_of
from dotflow.otel.export.otlp.exports import exporter_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData

    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.export.otlp.outcome import Outcome

MOST_SAID = 20
"""Different faults that are told: an endpoint may say another thing each time."""


class Out(MetricExporter):
    """Exports to one OTLP endpoint; called by one thread at a time.

    What is not taken is not lost: the next export has it in its sums (with delta temporality it
    is). Where nobody asked for metrics by name, an endpoint that takes spans alone is no fault: it
    is asked once, and never again; what is wrong with its address is said of the spans.

    Args:
        settings: Which endpoint.
        is_asked_for: Whether a person asked for metrics, and not only for an endpoint.

    Attributes:
        temporality: How sums are told, by the class of the instrument.
        is_well: Whether the last export was taken.
        is_over: Whether it exports no more.

    Raises:
        ValueError: The endpoint's address is none.
        Unusable: The exporter cannot be made.
    """

    def __init__(self, settings: OtlpSettings, is_asked_for: bool) -> None:
        self.name = endpoint_name(settings)
        self._exporter = exporter_of(endpoint_of(settings))
        made: Any = self._exporter.made()  # it reads what the variables say of temporality
        self.temporality: dict[type, Any] = dict(made._preferred_temporality or {})
        super().__init__(made._preferred_temporality, made._preferred_aggregation)
        self.is_well = True
        self.is_over = False
        self._is_asked_for = is_asked_for
        self._said: set[str] = set()

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - the endpoint has its own
        **kwargs: Any,  # noqa: ARG002 - the SDK gives none yet
    ) -> MetricExportResult:
        """Export once, within the endpoint's timeout."""
        if self.is_over:
            return MetricExportResult.FAILURE
        try:
            with untraced():
                outcome = self._exporter.send(metrics_data)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work goes on
            logger.debug("Metrics could not be exported.", exc_info=True)
            self._fail(f"could not be spoken to ({type(error).__name__})")
            return MetricExportResult.FAILURE
        if outcome is None:
            self._fail("was not spoken to: the metrics cannot be encoded")
        elif outcome.is_taken:
            self._take(outcome)
        else:
            self._refuse(outcome)
        return MetricExportResult.SUCCESS if self.is_well else MetricExportResult.FAILURE

    def _take(self, outcome: Outcome) -> None:
        if not self.is_well:
            self._said.clear()
        self.is_well = True
        if outcome.rejected:
            self._say(
                f"rejects {outcome.rejected} points of metrics: {outcome.said or 'it says no more'}"
            )

    def _refuse(self, outcome: Outcome) -> None:
        if outcome.is_unknown and not self._is_asked_for:
            self.is_over = True
            self._exporter.close()
            logger.debug(
                "%s %s. No metrics are exported; OTEL_METRICS_EXPORTER=none keeps this quiet.",
                self.name, outcome.why,
            )  # fmt: skip
            return
        self._fail(outcome.why)

    def _fail(self, why: str) -> None:
        self.is_well = False
        self._say(f"{why}. Metrics go on to be measured, and are sent when it takes them")

    def _say(self, what: str) -> None:
        """Say something once until the endpoint is well; nothing of what nobody asked for."""
        if what not in self._said and len(self._said) < MOST_SAID:
            self._said.add(what)
            say = logger.warning if self._is_asked_for else logger.debug
            say("%s %s.", self.name, what)

    @property
    def is_behind(self) -> bool:
        """Whether somebody asked for what was not taken."""
        return self._is_asked_for and not self.is_well and not self.is_over

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing waits here."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ARG002
        """Release the connection; called by an application that ends the provider."""
        self.is_over = True
        self._exporter.close()

    def end(self, is_sent: bool) -> None:
        """Release the connection, for now; an export that is under way ends.

        Args:
            is_sent: Whether what was measured last has left.
        """
        if not is_sent and self._is_asked_for and not self.is_over and not self._said:
            logger.warning("Not all metrics could be exported to %s in time.", self.name)
        self._exporter.close()

    def let_go(self) -> None:
        """Let go of the parent's connection, in a forked child."""
        self._exporter.let_go()
        self.is_well = True
        self._said.clear()
