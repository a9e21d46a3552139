"""Checks what was emitted against the registry; the findings have Weaver's names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conventions.registry import Attribute, Registry, Signal

SCOPES = frozenset({"dotflow"})

LOGS = ("dotflow.log", "dotflow.line")
"""What log records without an event's name have."""

OVERFLOW = "otel.metric.overflow"
"""All that a point says that holds what there are too many sets of attributes of. It is a word of
the specification of SDKs, and of no registry."""

LEVELS = {
    "missing_attribute": "violation",
    "template_attribute": "information",
    "missing_metric": "violation",
    "missing_event": "violation",
    "deprecated": "violation",
    "type_mismatch": "violation",
    "not_stable": "improvement",
    "unit_mismatch": "violation",
    "unexpected_instrument": "violation",
    "undefined_enum_variant": "violation",  # Weaver: information, for its enums are all open
    "required_attribute_not_present": "violation",
    "recommended_attribute_not_present": "improvement",
    "unexpected_attribute": "violation",  # Weaver: improvement
    # Ours. Weaver knows no span by its name, and looks at the schema of no scope.
    "missing_span": "violation",
    "missing_schema_url": "violation",
}

TYPES = {"string_value": "string", "int_value": "int", "double_value": "double",
         "bool_value": "boolean"}  # fmt: skip
KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}

Pairs = Any
"""Attributes as OTLP has them."""


class Finding(NamedTuple):
    """Something that is not as the registry says.

    Attributes:
        id: What it is, in Weaver's words.
        signal: The name of the span, the event, the metric or the group of attributes.
        name: The name that it is about.
        message: The same for people.
    """

    id: str
    signal: str
    name: str
    message: str

    @property
    def level(self) -> str:
        """Of a `violation`, an `improvement` or an `information`."""
        return LEVELS[self.id]


class LiveCheck:
    """Checks OTLP requests, and keeps what it has seen.

    Args:
        registry: What may be emitted.
        scopes: Whose telemetry is checked; all other is passed over.

    Attributes:
        findings: What is not as the registry says, each once.
        seen: The names that were emitted, of attributes, spans, events and metrics.
    """

    def __init__(self, registry: Registry, scopes: frozenset[str] = SCOPES) -> None:
        self.registry = registry
        self.scopes = scopes
        self.findings: dict[Finding, None] = {}
        self.seen: set[str] = set()

    @property
    def violations(self) -> list[Finding]:
        """What is wrong."""
        return [one for one in self.findings if one.level == "violation"]

    def read(self, request: Any) -> None:
        """Check an export request of any of the three signals."""
        for resources in ("resource_spans", "resource_metrics", "resource_logs"):
            for one in getattr(request, resources, ()):
                self._resource(one)

    def _resource(self, of_resource: Any) -> None:
        scopes = ("scope_spans", "span"), ("scope_metrics", "metric"), ("scope_logs", "log")
        for scopes_name, kind in scopes:
            for of_scope in getattr(of_resource, scopes_name, ()):
                if of_scope.scope.name not in self.scopes:
                    continue
                self._group("dotflow.resource", of_resource.resource.attributes)
                if of_scope.schema_url != self.registry.schema_url:
                    self._find(
                        "missing_schema_url", kind, of_scope.scope.name,
                        f"its schema is {of_scope.schema_url!r}",
                    )  # fmt: skip
                {"span": self._spans, "metric": self._metrics, "log": self._logs}[kind](of_scope)

    # Spans.

    def _spans(self, of_scope: Any) -> None:
        for span in of_scope.spans:
            keys = _values(span.attributes)
            known = self._span(span.name, KINDS.get(span.kind, ""), keys)
            if known is None:
                self._find("missing_span", span.name, span.name, f"no {span.kind} span is so named")
            else:
                self._signal(known, span.name)
            self._attributes(span.name, span.attributes, known)
            for event in span.events:
                self._event(event.name, event.attributes)
            for link in span.links:
                self._group("dotflow.link", link.attributes)

    def _span(self, name: str, kind: str, values: dict[str, Any]) -> Signal | None:
        """The span that one is: by kind and name, and of several by what they have."""
        fit = [
            one
            for one in self.registry.spans.values()
            if one.span_kind == kind and name in _filled(one.names, values)
        ]
        return max(fit, key=lambda one: _share(one, values), default=None)

    def _group(self, name: str, attributes: Pairs) -> None:
        known = self.registry.groups[name]
        self._signal(known, name)
        self._attributes(name, attributes, known)

    # Events.

    def _logs(self, of_scope: Any) -> None:
        for record in of_scope.log_records:
            if record.event_name:
                self._event(record.event_name, record.attributes)
            elif record.attributes:
                values = _values(record.attributes)
                groups = [self.registry.groups[name] for name in LOGS]
                self._group(
                    max(groups, key=lambda one: _share(one, values)).name, record.attributes
                )

    def _event(self, name: str, attributes: Pairs) -> None:
        known = self.registry.events.get(name)
        if known is None:
            self._find("missing_event", name, name, "there is no such event")
        else:
            self._signal(known, name)
        self._attributes(name, attributes, known)

    # Metrics.

    def _metrics(self, of_scope: Any) -> None:
        for metric in of_scope.metrics:
            data = metric.WhichOneof("data")
            known = self.registry.metrics.get(metric.name)
            if known is None:
                self._find("missing_metric", metric.name, metric.name, "there is no such metric")
            else:
                self._signal(known, metric.name)
                self._measured(known, metric, _instrument(data, getattr(metric, data)))
            for point in getattr(metric, data).data_points:
                if OVERFLOW in _values(point.attributes):
                    continue
                self._attributes(metric.name, point.attributes, known)

    def _measured(self, known: Signal, metric: Any, instrument: str) -> None:
        if metric.unit != known.unit:
            self._find(
                "unit_mismatch", known.name, known.name,
                f"its unit is {metric.unit!r}, not {known.unit!r}",
            )  # fmt: skip
        if instrument != known.instrument:
            self._find(
                "unexpected_instrument", known.name, known.name,
                f"it is a {instrument}, not a {known.instrument}",
            )  # fmt: skip

    # What all have.

    def _signal(self, known: Signal, name: str) -> None:
        self.seen.add(known.name)
        self._firm(name, known)

    def _firm(self, signal: str, known: Signal | Attribute) -> None:
        name = getattr(known, "name", None) or known.key
        if known.deprecated:
            self._find("deprecated", signal, name, known.deprecated)
        elif known.stability != "stable":
            self._find("not_stable", signal, name, f"its stability is {known.stability}")

    def _attributes(self, signal: str, attributes: Pairs, known: Signal | None) -> None:
        signal = signal if known is None else known.name
        for pair in attributes:
            self._attribute(signal, pair.key, pair.value)
            there = pair.key in self.registry.attributes
            if known is not None and there and pair.key not in known.uses:
                self._find("unexpected_attribute", signal, pair.key, "it is none of this one's")
        if known is None:
            return
        there = {pair.key for pair in attributes}
        for key, level in known.uses.items():
            if key not in there and level in ("required", "recommended"):
                self._find(f"{level}_attribute_not_present", signal, key, "it is not there")

    def _attribute(self, signal: str, key: str, value: Any) -> None:
        known = self.registry.attributes.get(key) or self._template(key)
        if known is None:
            self._find("missing_attribute", signal, key, "there is no such attribute")
            return
        self.seen.add(known.key)
        expected = known.type
        if known.key != key:
            self._find("template_attribute", signal, key, f"it is one of {known.key}.*")
            expected = expected[len("template[") : -1]
        self._firm(signal, known)
        kind = _type(value)
        if kind != expected:
            self._find("type_mismatch", signal, key, f"it is a {kind}, not a {expected}")
        elif known.members and not known.is_open and not _is_member(value, known):
            text = value.string_value
            self._find("undefined_enum_variant", signal, key, f"its value is {text!r}")

    def _template(self, key: str) -> Attribute | None:
        for one in self.registry.attributes.values():
            if one.type.startswith("template[") and key.startswith(f"{one.key}."):
                return one
        return None

    def _find(self, id_: str, signal: str, name: str, message: str) -> None:
        self.findings[Finding(id_, signal, name, message)] = None


def _values(pairs: Pairs) -> dict[str, Any]:
    kinds = {pair.key: pair.value.WhichOneof("value") for pair in pairs}
    return {pair.key: kinds[pair.key] and getattr(pair.value, kinds[pair.key]) for pair in pairs}


def _type(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        inner = {_type(one) for one in value.array_value.values}
        return f"{inner.pop()}[]" if len(inner) == 1 else "any"
    return TYPES.get(kind, "any")


def _is_member(value: Any, known: Attribute) -> bool:
    return value.string_value in known.members.values()


def _instrument(data: str, found: Any) -> str:
    if data == "sum":
        return "counter" if found.is_monotonic else "updowncounter"
    return "histogram" if data == "exponential_histogram" else data


def _filled(names: Iterable[str], values: dict[str, Any]) -> Iterator[str]:
    """The names that a span may have, with what it says in place of what is in braces."""
    for name in names:
        keys = re.findall(r"{(.*?)}", name)
        if all(key in values for key in keys):
            yield re.sub(r"{(.*?)}", lambda found: str(values[found[1]]), name)


def _share(one: Signal, values: dict[str, Any]) -> float:
    """How much of what a span has to have is there."""
    required = [key for key, level in one.uses.items() if level == "required"]
    return sum(key in values for key in required) / max(1, len(required))
