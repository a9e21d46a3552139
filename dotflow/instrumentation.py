"""An instrumentor: a program that only writes `DotFlow()` is traced.

`opentelemetry-instrument` finds it by its entry point. It is a module of its own, beside
`dotflow.otel`, for the launcher loads it in every process that it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.providers import environment

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError(
        "DotflowInstrumentor needs opentelemetry-instrumentation: pip install 'dotflow[instrument]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Collection

FOR_OTHERS = frozenset({"meter_provider", "logger_provider"})
"""What programs give to every instrumentor, and ServerOtel finds by itself."""


class DotflowInstrumentor(BaseInstrumentor):  # type: ignore[misc] # it has no types
    """Traces a program that only writes `DotFlow()`: each Config gets a ServerOtel.

    A Config that the program gives a server or a tracer keeps them, so nothing is reported twice.
    `DOTFLOW_SERVER` still decides if its value is not `auto`.

    `instrument(**options)` takes the arguments of ServerOtel, such as `tracer_provider` or
    `contexts`. `uninstrument()` takes the change back. Both hold for each Config that is made
    afterwards.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing but dotflow, which is here."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        options = {name: value for name, value in kwargs.items() if name not in FOR_OTHERS}
        if options:
            _check(options)
        environment.trace_by_default(options)

    def _uninstrument(self, **_: Any) -> None:
        environment.trace_by_default(None)


def _check(options: dict[str, Any]) -> None:
    """See that ServerOtel takes these options.

    Raises:
        TypeError: It does not know one of them.
        ValueError: It cannot use what one of them says.
    """
    from dotflow.otel import ServerOtel  # here, for the launcher gives no options

    ServerOtel(**options)
