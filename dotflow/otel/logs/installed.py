"""Has what steps log leave, where that is asked for and nobody else sees to it."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, trace
from opentelemetry.sdk.resources import Resource

from dotflow.logging import logger
from dotflow.otel.export.leaving.outgoing import Outgoing
from dotflow.otel.export.otlp.endpoint import LOGS, OtlpSettings
from dotflow.otel.export.provider.resource import resource_of
from dotflow.otel.logs.asked import existing, exporters
from dotflow.otel.logs.handler import StepHandler, is_there_one
from dotflow.process.forking import renew_in_child
from dotflow.process.variables import mended
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dotflow.otel.logs.provider import Exporting, OwnLoggerProvider

CHILD_KEY = "dotflow-logs"
"""Where a carrier says what leaves from a child that is not forked; no propagator reads it."""


class _Installed:
    """What this process has: a provider of ours, and the handler on the root logger."""

    def __init__(self) -> None:
        self.provider: OwnLoggerProvider | None = None
        self._handler: StepHandler | None = None
        self._users = 0
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self.lock = threading.RLock()

    def provider_for(self, service_name: str, set_global: bool) -> Any:
        """The application's provider; ours, where there is none."""
        found = existing()
        if found is not None:
            return found
        if self.provider is None:
            # Here, for few programs need the SDK's part for logs, which takes its time to load.
            from dotflow.otel.logs.provider import OwnLoggerProvider

            with mended():
                self.provider = OwnLoggerProvider(_resource(service_name))
        if set_global:
            _logs.set_logger_provider(self.provider)
        return self.provider

    def install(self, provider: Any) -> None:
        """Put a handler on the root logger, unless the program has one of OpenTelemetry's."""
        self._users += 1
        self.see(provider)

    def see(self, provider: Any) -> None:
        """See that it is there: who configures logging anew takes all handlers away."""
        handler = self._handler
        if handler is None:
            if is_there_one():
                return
            handler = self._handler = StepHandler(provider)
        if handler not in logging.root.handlers:
            logging.root.addHandler(handler)

    def leave(self) -> None:
        """Take the handler away, if nobody needs it any more."""
        self._users -= 1
        if self._users <= 0 and self._handler is not None:
            logging.root.removeHandler(self._handler)
            self._handler.close()
            self._handler = None


_installed = _Installed()


class Logs:
    """What one server has of the log records that leave from its process.

    Args:
        settings: What its arguments say of the endpoint.
        is_wanted: What its arguments say of log records; None if they say nothing.
        texts: What decides what may be said.
        service_name: `service.name` of a provider that is made, where the environment has none.
        set_global: Whether a provider that is made becomes the global one.
        has_handler: Whether what is logged is handed on by a handler of ours, too.

    Attributes:
        provider: Who gets the records; None where none are to leave.
        processors: What exports them, where that is ours to do.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        is_wanted: bool | None,
        texts: Texts,
        service_name: str,
        set_global: bool = True,
        has_handler: bool = True,
    ) -> None:
        self.provider: Any = None
        self.processors: list[Exporting] = []
        self._settings = replace(settings, signal=LOGS)
        self._names = exporters(settings, is_wanted)
        self._known = (is_wanted, texts, service_name, set_global)
        self._has_handler = has_handler
        if self._names:
            try:
                self._begin(texts, service_name, set_global)
            except Exception as error:  # noqa: BLE001 - it costs records, not the rest
                logger.warning("Log records are not exported: %s", error)

    def _begin(self, texts: Texts, service_name: str, set_global: bool) -> None:
        with _installed.lock:
            provider = _installed.provider_for(service_name, set_global)
            if _installed.provider is not None and provider is _installed.provider:
                self.processors = provider.acquire(self._settings, self._names, texts)
            self.provider = provider
            if self._has_handler:
                _installed.install(provider)

    def see(self) -> None:
        """See that the handler is there still; called when a run begins."""
        if self.provider is not None and self._has_handler:
            _installed.see(self.provider)

    @property
    def keeping(self) -> list[Outgoing]:
        """The processors that keep what does not leave."""
        return [one for one in self.processors if isinstance(one, Outgoing)]

    @property
    def for_a_child(self) -> dict[str, str]:
        """What a child that is not forked has records leave by, as this process does."""
        is_theirs = self.provider is not _installed.provider
        if self.provider is None or (is_theirs and not self._has_handler):
            return {}
        is_wanted, texts, service_name, set_global = self._known
        known = {
            "endpoint": self._settings.endpoint,
            "protocol": self._settings.protocol,
            "is_wanted": is_wanted,
            "service_name": service_name,
            "set_global": set_global,
            "texts": texts.for_a_child,
            "is_theirs": is_theirs,
        }
        return {CHILD_KEY: json.dumps(known)}

    def flush_others(self) -> bool:
        """Flush what keeps nothing: exporters that are not OTLP's."""
        others = [one for one in self.processors if not isinstance(one, Outgoing)]
        flushed = [one.force_flush() is not False for one in others]
        return all(flushed)

    def take_out(self) -> list[Any]:
        """Take out what was added; return what nobody else uses, to be shut down."""
        provider, self.provider = self.provider, None
        if provider is None:
            return []
        with _installed.lock:
            if self._has_handler:
                _installed.leave()
            ours = _installed.provider
            if ours is None or provider is not ours:
                return []
            return ours.release(self._settings, self._names, self._known[1])


_in_child: list[Logs] = []


def open_in_child(carrier: Mapping[str, str]) -> None:
    """Have records leave from a child that was not forked as they do from its parent.

    Args:
        carrier: What the parent sent: `Logs.for_a_child` is in it.
    """
    text = carrier.get(CHILD_KEY)
    if text is None or _in_child or _installed.provider is not None:
        return
    known = json.loads(text)
    if known["is_theirs"] and existing() is None:
        return  # the program's own code sets up its children
    settings = OtlpSettings(known["endpoint"], known["protocol"])
    texts = Texts.of_parent(**known["texts"])
    is_wanted, service_name, set_global = (
        known[one] for one in ("is_wanted", "service_name", "set_global")
    )
    _in_child.append(Logs(settings, is_wanted, texts, service_name, set_global))


def open_on_worker(processor: Any, service_name: str) -> bool:
    """Have a processor take the records of a worker, unless its program sees to them; if it does.

    Args:
        processor: The processor.
        service_name: `service.name` of the provider that is made.
    """
    with _installed.lock:
        if _installed.provider is not None or existing() is not None:
            return False
        provider = _installed.provider_for(service_name, set_global=True)
        provider.processors.add_log_record_processor(processor)
        _installed.install(provider)
    return True


def _resource(service_name: str) -> Resource:
    """That of the program's tracer provider: spans and records are of one process."""
    with mended():
        found = getattr(trace.get_tracer_provider(), "resource", None)
    return found if isinstance(found, Resource) else resource_of(service_name)
