"""Where light spans are: what they share, what they come from and how they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanLimits
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext

ROOM = 32
"""Attributes and links that a limit must allow for light spans to need no look at it."""


class Way(Protocol):
    """How light spans leave: see `dotflow.otel.export.provider.own.SpanProcessors`.

    Attributes:
        are_light: Whether they may go on to be light.
        puts: Take one that ended, the number of the fact that ended it, and that of its run.
    """

    are_light: bool
    puts: tuple[Callable[[Any, int, int], None], ...]

    def on_end_of_changed(self, span: Any) -> None:
        """Take one that ended on which a step has put something."""


class Source(Protocol):
    """What light spans come from: see `dotflow.otel.export.provider.pipeline.Pipeline`.

    Attributes:
        is_open: Whether it is not closed.
        new_span_id: Gives an id.
    """

    is_open: bool
    new_span_id: Callable[[], int]


class Place:
    """Where light spans are: what the children of one span share.

    Args:
        parent: The parent's context.
        resource: What produces the spans.
        scope: Their instrumentation scope.
        limits: The provider's limits.
        way: How they leave.
        source: What they come from; None where none begins any more.
        run: The number of the run that they are of; 0 where nobody needs to know.

    Attributes:
        extra: What lines of the run log say of the parent.
        traceparent: What leads to one of the spans, up to its id.
    """

    __slots__ = ("extra", "is_wide", "limits", "parent", "resource", "run", "scope", "source",
                 "traceparent", "way")  # fmt: skip

    def __init__(
        self,
        parent: SpanContext,
        resource: Resource,
        scope: InstrumentationScope | None,
        limits: SpanLimits,
        way: Way,
        source: Source | None = None,
        run: int = 0,
    ) -> None:
        self.parent = parent
        self.resource = resource
        self.scope = scope
        self.limits = limits
        self.way = way
        self.source = source
        self.run = run
        self.extra = f',"in":"{parent.span_id:016x}"'
        self.traceparent = f"00-{parent.trace_id:032x}-"
        self.is_wide = _is_wide(limits)

    def below(self, parent: SpanContext) -> Place:
        """The place of another parent's children."""
        return Place(
            parent, self.resource, self.scope, self.limits, self.way, self.source, self.run
        )  # fmt: skip


def _is_wide(limits: SpanLimits) -> bool:
    """Whether what we say of a span by ourselves is within the limits."""
    counts = (
        limits.max_span_attributes, limits.max_links, limits.max_events,
        limits.max_event_attributes, limits.max_link_attributes,
    )  # fmt: skip
    lengths = (limits.max_attribute_length, limits.max_span_attribute_length)
    return all(one is None or one >= ROOM for one in counts) and lengths == (None, None)
