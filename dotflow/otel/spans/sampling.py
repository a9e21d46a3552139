"""Ratio sampling that is fair to trace ids which are UUIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, Tracer, TraceState
    from opentelemetry.util.types import Attributes

UUID_RANDOM_BITS = 62  # at the low end of a version 4 UUID, below its two variant bits


class UuidFairSampler(Sampler):
    """Asks another sampler, with the fixed bits of a UUID taken out of the trace id.

    The SDK's ratio sampler compares the low 64 bits of a trace id with a bound. In a version 4
    UUID the two highest of these are always 10: at a ratio of a half or less no such trace would
    be sampled, at three quarters all.

    Args:
        inner: The sampler that decides.
    """

    def __init__(self, inner: Sampler) -> None:
        self.inner = inner

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """What the inner sampler says of the same span."""
        return self.inner.should_sample(
            parent_context, fair(trace_id), name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """The inner sampler's description."""
        return self.inner.get_description()


def make_fair(tracer: Tracer) -> None:
    """Have a tracer of ours ask the sampler of its provider fairly; the provider is left as it is.

    For an application that took our id generator, whose sampler is its own.
    """
    sampler = getattr(tracer, "sampler", None)
    if isinstance(sampler, Sampler) and not isinstance(sampler, UuidFairSampler):
        tracer.sampler = UuidFairSampler(sampler)  # type: ignore[attr-defined]


def is_decided_by_parent(tracer: Tracer) -> bool:
    """Whether a tracer samples whatever has a sampled parent in this process, unseen."""
    sampler = getattr(tracer, "sampler", None)
    if isinstance(sampler, UuidFairSampler):
        sampler = sampler.inner
    if sampler is ALWAYS_ON:
        return True
    if type(sampler) is not ParentBased:
        return False
    said: str = sampler.get_description()  # type: ignore[no-untyped-call] # the SDK's
    return "localParentSampled:AlwaysOnSampler" in said


def fair(trace_id: int) -> int:
    """The trace id, its low 64 bits evenly spread where it has the shape of a version 4 UUID."""
    version, variant = (trace_id >> 76) & 0xF, (trace_id >> UUID_RANDOM_BITS) & 0b11
    if version != 4 or variant != 0b10:  # noqa: PLR2004 - RFC 9562
        return trace_id
    random_bits = trace_id & ((1 << UUID_RANDOM_BITS) - 1)
    two_more = (trace_id >> 64) & 0b11
    return (trace_id >> 64 << 64) | (random_bits << 2) | two_more
