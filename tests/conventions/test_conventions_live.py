"""What runs really emit, by OTLP, is what the registry says; and what is not so is found."""

from __future__ import annotations

import copy
import json

import pytest
from conventions_receiver import RequestReceiver, checked
from conventions_runs import everything

from conventions.registry import MODEL, documents, read


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    """What every kind of run emits."""
    folder = tmp_path_factory.mktemp("conventions")
    with pytest.MonkeyPatch.context() as patch, RequestReceiver() as receiver:
        patch.setenv("DOTFLOW_STATE_DIR", str(folder / "state"))
        patch.chdir(folder)
        everything(receiver.http_url, patch)
        return receiver.requests


@pytest.fixture(scope="module")
def check(requests):
    """A check that has read them."""
    return checked(requests)


def test_all_that_is_emitted_is_in_the_registry(check):
    """Names, types, values, kinds, required attributes and the schema's address."""
    assert check.violations == []


def test_all_that_is_in_the_registry_is_emitted(check):
    """A name that nothing emits is none."""
    current = [one for one in read().signals if not one.deprecated]
    known = {one.name for one in current} | {key for one in current for key in one.uses}
    # Older SDKs do not say which instance of a service it is.
    assert sorted(known - check.seen - {"service.instance.id"}) == []


def changed(path, **said):
    """The registry with something else said of the one at `section/name`."""
    section, name = path.split("/")
    text = json.dumps(documents(MODEL))
    if "key" in said:  # and whoever refers to it
        text = text.replace(f'"ref": "{name}"', f'"ref": "{said["key"]}"')
    model = json.loads(text)
    [found] = [
        one
        for file in model
        for one in file.get(section, ())
        if name in (one.get("key"), one.get("name"), one.get("type"))
    ]
    found.update(said)
    return read(model)


USES_NOTHING = [{"ref": "dotflow.outbox.destination", "requirement_level": "required"}]
FAULTS = [
    ("missing_attribute", "dotflow.link.type", "attributes/dotflow.link.type", {"key": "x.y"}),
    (
        "template_attribute", "dotflow.link.type", "attributes/dotflow.link.type",
        {"key": "dotflow.link", "type": "template[string]"},
    ),
    ("missing_metric", "dotflow.task.duration", "metrics/dotflow.task.duration", {"name": "x.y"}),
    ("missing_event", "dotflow.task.exception", "events/dotflow.task.exception", {"name": "x.y"}),
    (
        "deprecated", "dotflow.task.group", "attributes/dotflow.task.group",
        {"deprecated": {"reason": "obsoleted", "note": "It is gone."}},
    ),
    ("type_mismatch", "dotflow.task.id", "attributes/dotflow.task.id", {"type": "string"}),
    (
        "not_stable", "dotflow.task.id", "attributes/dotflow.task.id",
        {"stability": "development"},
    ),
    ("unit_mismatch", "dotflow.task.duration", "metrics/dotflow.task.duration", {"unit": "ms"}),
    (
        "unexpected_instrument", "dotflow.task.duration", "metrics/dotflow.task.duration",
        {"instrument": "gauge"},
    ),
    (
        "undefined_enum_variant", "dotflow.task.status", "attributes/dotflow.task.status",
        {"type": {"members": [{"id": "completed", "value": "Completed"}]}},
    ),
    (
        "required_attribute_not_present", "dotflow.outbox.destination", "spans/dotflow.attempt",
        {"attributes": USES_NOTHING},
    ),
    ("missing_span", "attempt", "spans/dotflow.attempt", {"kind": "server"}),
    (
        "unexpected_attribute", "dotflow.attempt.number", "spans/dotflow.attempt",
        {"attributes": []},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("finding", "name", "path", "said"), FAULTS, ids=[one[0] for one in FAULTS]
)
def test_a_fault_is_found(finding, name, path, said, requests, check):
    """What runs emit, against a registry that says something else of one name."""
    new = set(checked(requests, changed(path, **said)).findings) - set(check.findings)
    assert (finding, name) in {(one.id, one.name) for one in new}


def test_telemetry_without_its_schema_is_found(requests):
    """A backend translates names by it."""
    model = copy.deepcopy(requests)
    for one in model:
        for resource in getattr(one, "resource_spans", ()):
            for scope in resource.scope_spans:
                scope.schema_url = ""
    assert {one.id for one in checked(model).violations} == {"missing_schema_url"}


def test_what_is_not_ours_is_passed_over(requests):
    """Spans of a step's own code have names of their own."""
    foreign = copy.deepcopy(requests)
    for one in foreign:
        for resource in getattr(one, "resource_spans", ()):
            for scope in resource.scope_spans:
                scope.scope.name = "theirs"
                for span in scope.spans:
                    span.name = "sell"
    assert checked(foreign).violations == []


def test_a_point_of_too_many_sets_has_no_attributes_of_its_own(requests):
    """Beyond a limit a meter puts all others together, under one word of the SDK's."""
    many = copy.deepcopy(requests)
    for one in many:
        for resource in getattr(one, "resource_metrics", ()):
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    del point.attributes[:]
                    said = point.attributes.add(key="otel.metric.overflow")
                    said.value.bool_value = True
    assert checked(many).violations == []
