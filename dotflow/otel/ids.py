"""Trace ids that follow from workflow ids, and span ids that were given away before."""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any
from uuid import UUID

from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import INVALID_TRACE_ID

from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "OTEL_PYTHON_ID_GENERATOR"
ENTRY_POINT = "dotflow"
"""Its name for a program whose provider is made by `opentelemetry-instrument`."""

NOT_RANDOM = frozenset({1, 2, 6, 8})
"""Versions of UUIDs whose low 56 bits are a machine's address, or anybody's."""

_pinned: ContextVar[int | None] = ContextVar("dotflow_trace_id", default=None)
_pinned_span: ContextVar[int | None] = ContextVar("dotflow_span_id", default=None)


def trace_id_of(workflow: str) -> int:
    """The trace id (128 bits) of a workflow: its id where that is a UUID, else a hash of it."""
    try:
        number = UUID(workflow).int
    except ValueError:
        number = INVALID_TRACE_ID
    if number != INVALID_TRACE_ID:
        return number
    import hashlib  # here, for most ids are UUIDs

    digest = hashlib.blake2b(workflow.encode("utf-8", "replace"), digest_size=16).digest()
    return int.from_bytes(digest, "big")


@contextmanager
def pinned(trace_id: int) -> Iterator[None]:
    """Have the WorkflowIdGenerator give this trace id to the root that is started within."""
    token = _pinned.set(trace_id)
    try:
        yield
    finally:
        _pinned.reset(token)


def chosen_generator() -> IdGenerator:
    """What `OTEL_PYTHON_ID_GENERATOR` names; ours where it names none, or one that there is not."""
    name = os.environ.get(VARIABLE, "").strip()
    if name not in ("", ENTRY_POINT):
        try:
            [found] = entry_points(group="opentelemetry_id_generator", name=name)
            made = found.load()()
        except Exception as error:  # noqa: BLE001 - an entry point may be anybody's
            logger.warning("%s is %r, which cannot be loaded: %s", VARIABLE, name, error)
        else:
            if isinstance(made, IdGenerator):
                return made
            logger.warning("%s is %r, which is no id generator.", VARIABLE, name)
    return WorkflowIdGenerator()


class WorkflowIdGenerator(IdGenerator):
    """Gives the root span of a run the workflow's id as its trace id; other ids are random.

    Give it to your own tracer provider, `TracerProvider(id_generator=WorkflowIdGenerator())`, if
    you want to find a trace by the id of its workflow. Any thread may call its methods.
    """

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        """A random span id (64 bits)."""
        return self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        """The pinned trace id where there is one, else a random one (128 bits)."""
        pinned_id = _pinned.get()
        return self._random.generate_trace_id() if pinned_id is None else pinned_id

    def is_trace_id_random(self) -> bool:
        """Whether the low 56 bits are random: those of most UUIDs, and of a hash, are."""
        pinned_id = _pinned.get()
        return pinned_id is None or UUID(int=pinned_id).version not in NOT_RANDOM


def span_ids_of(generator: IdGenerator) -> Callable[[], int]:
    """What gives the ids of spans that nobody pins: of our generator the SDK's own."""
    if type(generator) is WorkflowIdGenerator:
        return generator._random.generate_span_id
    return generator.generate_span_id


class PinnedSpanIds(IdGenerator):
    """Gives a span the id that was reserved for it; everything else another generator gives.

    Args:
        inner: That one.
    """

    def __init__(self, inner: IdGenerator) -> None:
        self._inner = inner

    def generate_span_id(self) -> int:
        """The pinned span id where there is one."""
        pinned_id = _pinned_span.get()
        return self._inner.generate_span_id() if pinned_id is None else pinned_id

    def generate_trace_id(self) -> int:
        """A trace id as the other one gives it."""
        return self._inner.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """What the other one says; older releases of OpenTelemetry do not ask."""
        said: bool = getattr(self._inner, "is_trace_id_random", bool)()
        return said


def reserve_span_id(tracer: Any) -> int:
    """An id (64 bits) for a span that a tracer of ours starts later, by `pinned_span`.

    It is 0 for a tracer that is not OpenTelemetry's own: nobody can say what ids that gives.
    """
    found = getattr(tracer, "id_generator", None)
    if not isinstance(found, IdGenerator):
        return 0
    if not isinstance(found, PinnedSpanIds):
        tracer.id_generator = PinnedSpanIds(found)
    return found.generate_span_id()


@contextmanager
def pinned_span(span_id: int) -> Iterator[None]:
    """Have the span that is started within take this id."""
    token = _pinned_span.set(span_id)
    try:
        yield
    finally:
        _pinned_span.reset(token)
