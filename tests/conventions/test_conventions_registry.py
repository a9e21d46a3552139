"""The registry of names: what is made of it, what OpenTelemetry has of it, the names."""

from __future__ import annotations

import ast
import copy
import importlib
import pkgutil
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.semconv import _incubating, attributes
from opentelemetry.semconv._incubating.attributes import cicd_attributes
from opentelemetry.semconv._incubating.metrics import cicd_metrics
from opentelemetry.semconv.schemas import Schemas

import dotflow
from conventions import __main__ as command
from conventions import code
from conventions.lint import problems
from conventions.registry import MODEL, SEMCONV, documents, read
from dotflow.otel import attributes as names

REGISTRY = read()

OF_THE_CONTRACT = {"tracer_opentelemetry.py", "metrics_opentelemetry.py"}
"""What emits the names that are deprecated, which the module does not have."""


def test_what_is_made_from_it_is_not_stale():
    """The module and the tables say what the registry says: else run `python -m conventions`."""
    stale = [
        file.name
        for file, text in command.made(REGISTRY).items()
        if file.read_text("utf-8") != text
    ]
    assert stale == []


def test_the_command_names_what_is_stale_and_mends_it(tmp_path, monkeypatch, capsys):
    """A changed name is found by `--check`, written without it, and then there is nothing left."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    for name, file in (("CODE", command.CODE), ("PAGE", command.PAGE)):
        (tmp_path / file.name).write_text(file.read_text("utf-8").replace("dotflow.task.group", ""))
        monkeypatch.setattr(command, name, tmp_path / file.name)

    monkeypatch.setattr("sys.argv", ["conventions", "--check"])
    assert command.main() == 1
    assert capsys.readouterr().out.split() == ["attributes.py", "telemetry.md"]
    monkeypatch.setattr("sys.argv", ["conventions"])
    assert command.main() == 0
    monkeypatch.setattr("sys.argv", ["conventions", "--check"])
    assert command.main() == 0
    assert "dotflow.task.group" in (tmp_path / "telemetry.md").read_text()


def test_the_names_are_as_the_conventions_want_names():
    """Lower case, dotted, no name that is a namespace too, no id in a metric or a span's name."""
    assert list(problems(REGISTRY)) == []


@pytest.mark.parametrize(
    ("section", "given", "problem"),
    [
        ("attributes", {"key": "dotflow.Task.kind"}, ("invalid_format", "dotflow.Task.kind")),
        ("attributes", {"key": "kind"}, ("missing_namespace", "kind")),
        ("attributes", {"key": "dotflow.task.id.kind"}, ("illegal_namespace", "dotflow.task.id")),
        (
            "metrics",
            {"name": "dotflow.task.weight", "unit": "kilos", "instrument": "gauge"},
            ("invalid_unit", "dotflow.task.weight"),
        ),
        (
            "metrics",
            {
                "name": "dotflow.task.weight", "unit": "s", "instrument": "gauge",
                "attributes": [{"ref": "dotflow.workflow.id"}],
            },
            ("unbounded_metric", "dotflow.task.weight"),
        ),
        (
            "spans",
            {
                "type": "dotflow.other", "kind": "internal",
                "annotations": {"dotflow": {"names": ["run {dotflow.workflow.id}"]}},
            },
            ("unbounded_name", "dotflow.other"),
        ),
        ("events", {"name": "dotflow.Other"}, ("invalid_format", "dotflow.Other")),
        ("events", {"name": "dotflow.o", "stability": "firm"}, ("invalid_stability", "dotflow.o")),
    ],
)  # fmt: skip
def test_a_name_that_is_not_so_is_found(section, given, problem):
    """Each rule about names finds one that breaks it, and only that."""
    known = {"type": "string"} if section == "attributes" else {}
    one = {"brief": "", "stability": "beta", **known, **given}
    assert list(problems(read([*documents(MODEL), {section: [one]}]))) == [problem]


def test_a_name_that_is_defined_twice_or_not_at_all_is_refused():
    """Of two definitions nobody knows which one holds; a reference has to lead somewhere."""
    model = documents(MODEL)
    twice = {"key": "error.type", "type": "string", "brief": "", "stability": "beta"}
    with pytest.raises(ValueError, match=r"error\.type is defined twice"):
        read([*copy.deepcopy(model), {"attributes": [twice]}])
    event = {"name": "dotflow.x", "brief": "", "stability": "beta", "attributes": [{"ref": "x.y"}]}
    with pytest.raises(KeyError, match=r"x\.y"):
        read([*model, {"events": [event]}])


def test_no_name_is_written_anywhere_else():
    """Whoever emits or reads a name takes it from the module that is made of the registry."""
    known = {*REGISTRY.attributes, *(one.name for one in REGISTRY.signals)}
    known = {name for name in known if "." in name}
    files = set(Path(dotflow.__file__).parent.rglob("*.py")) - {command.CODE}
    found = [
        (file.name, one.value)
        for file in files
        if file.name not in OF_THE_CONTRACT
        for one in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(one, ast.Constant) and one.value in known
    ]
    assert found == []


def test_what_is_taken_from_opentelemetry_is_as_it_is_there():
    """Names and values are those of its package; of metrics unit and instrument, too."""
    known = set()
    for package in (attributes, importlib.import_module(f"{_incubating.__name__}.attributes")):
        for module in pkgutil.iter_modules(package.__path__):
            found = importlib.import_module(f"{package.__name__}.{module.name}")
            known |= {value for value in vars(found).values() if type(value) is str}
    theirs = [one for one in REGISTRY.attributes.values() if not one.is_ours]
    assert {one.key for one in theirs} <= known

    for key, values in (
        ("cicd.pipeline.result", cicd_attributes.CicdPipelineResultValues),
        ("cicd.pipeline.run.state", cicd_attributes.CicdPipelineRunStateValues),
    ):
        members = REGISTRY.attributes[key].members
        assert set(members.values()) == {one.value for one in values}

    provider = MeterProvider(shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    for one in REGISTRY.metrics.values():
        if not one.is_ours:
            made = getattr(cicd_metrics, f"create_{code.constant_of(one.name).lower()}")(meter)
            assert (made.unit, type(made).__name__.lower().strip("_")) == (one.unit, one.instrument)
    provider.shutdown()


def test_the_schema_is_one_that_there_is():
    """The package has it, or is older than it."""
    known = {one.value for one in Schemas}
    assert names.SCHEMA_URL in known or max(map(_version, known)) < _version(names.SCHEMA_URL)


def _version(url):
    return [int(part) for part in url.rpartition("/")[2].split(".")]


SAID = {"brief", "stability", "note", "deprecated", "annotations"}
OF_A_SIGNAL = {*SAID, "attributes", "requirement_level"}
KEYS = {
    "attributes": ({"key", "type"}, {*SAID, "examples"}),
    "attribute_groups": ({"id", "visibility"}, {*SAID, "attributes"}),
    "spans": ({"type", "kind", "name"}, OF_A_SIGNAL),
    "events": ({"name"}, OF_A_SIGNAL),
    "metrics": ({"name", "instrument", "unit"}, OF_A_SIGNAL),
}
"""What Weaver's schema `definition/2` wants in an entry of each section, and what else it takes."""


def test_each_file_has_the_form_that_weaver_reads():
    """Its format, its sections and their keys: Weaver refuses one that it does not know."""
    for file in [*documents(MODEL), *documents(SEMCONV)]:
        if file["file_format"] == "definition_manifest/2.0":
            assert {"description", "schema_url"} <= set(file)
            continue
        assert file["file_format"] == "definition/2"
        assert set(file) - {"file_format", "imports"} <= set(KEYS)
        for section, (wanted, taken) in KEYS.items():
            for one in file.get(section, ()):
                internal = one.get("visibility") == "internal"
                wants = wanted if internal else {*wanted, "brief", "stability"}
                assert wants <= set(one) <= wanted | taken, one
                for used in one.get("attributes", ()):
                    assert set(used) <= {"ref", "requirement_level"} or set(used) == {"ref_group"}


def test_the_page_says_which_schema_that_is():
    """It is argued in words, which are not made anew."""
    assert f"`{names.SCHEMA_URL}`" in command.PAGE.read_text("utf-8")
