"""What spans of other code say of exceptions, whose words the SDK writes as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import Status

from dotflow.otel import attributes as names
from dotflow.otel.spans.fields import PastEvent, PastSpan
from dotflow.otel.spans.light import LightSpan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import Event, ReadableSpan

    from dotflow.runlog.texts import Texts


def reworded(
    span: ReadableSpan, texts: Sequence[Texts], is_ours_worded: bool = True
) -> ReadableSpan:
    """The span with what may be said of its exceptions; the same one if that is all that it says.

    What we say of ours is made so already: of these only what a step has put on them is worded.

    Args:
        span: A span that ended.
        texts: What decides what may be said.
        is_ours_worded: Whether what we say of ours is: the version before did not.
    """
    events, status = span.events, span.status
    description = None if status is None else status.description
    if not description and not any(one.name == names.EVENT_EXCEPTION for one in events):
        return span
    ours = _ours(span) if is_ours_worded else frozenset[str]()
    said = [_event(one, texts, ours) for one in events]
    told = _said(description, texts, ours) if description else description
    if told == description and all(new is one for new, one in zip(said, events, strict=True)):
        return span
    return PastSpan(
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
        name=span.name, context=span.context, parent=span.parent, resource=span.resource,
        attributes=span.attributes, events=said, links=span.links, kind=span.kind,
        status=status and Status(status.status_code, told), start_time=span.start_time,
        end_time=span.end_time, instrumentation_scope=span.instrumentation_scope,
    )  # fmt: skip


def _ours(span: ReadableSpan) -> frozenset[str] | None:
    """The words of a span that we have made; None where all are ours."""
    if isinstance(span, LightSpan):
        told, failed = span.said.event(), span.said.failed()
        return frozenset((*(told[0].values() if told else ()), failed or ""))
    scope = span.instrumentation_scope
    return None if scope is not None and scope.name == names.SCOPE else frozenset()


def _event(event: Event, texts: Sequence[Texts], ours: frozenset[str] | None) -> Event:
    if event.name != names.EVENT_EXCEPTION or not event.attributes:
        return event
    found = dict(event.attributes)
    for name in (names.EXCEPTION_MESSAGE, names.EXCEPTION_STACKTRACE):
        if type(text := found.get(name)) is str:
            found[name] = _said(text, texts, ours, name == names.EXCEPTION_STACKTRACE)
    if found == dict(event.attributes):
        return event
    dropped = int(getattr(event, "dropped_attributes", 0))
    return PastEvent(event.name, event.timestamp, found, dropped)


def _said(
    text: str, texts: Sequence[Texts], ours: frozenset[str] | None, is_traceback: bool = False
) -> str:
    if ours is None or text in ours:
        return text
    for one in texts:
        text = one.said(text, is_traceback)
    return text
