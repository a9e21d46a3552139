"""Alert rules and dashboard ask for metrics and labels that there are, as Prometheus names them."""

from __future__ import annotations

import re

import pytest

from conventions.registry import FOLDER, read

OBSERVABILITY = FOLDER.parent / "observability"
ASKED = re.compile(r"\b(?:dotflow|cicd)_[a-z0-9_]+")


def names_in_prometheus(registry):
    """Every series and label that what is emitted becomes there, by OTLP."""
    found = {key.replace(".", "_") for one in registry.metrics.values() for key in one.uses}
    for one in registry.metrics.values():
        name = one.name.replace(".", "_") + ("_seconds" if one.unit == "s" else "")
        parts = ["", "_bucket", "_count", "_sum"] if one.instrument == "histogram" else [""]
        found |= {name + part for part in (["_total"] if one.instrument == "counter" else parts)}
    return found


@pytest.mark.parametrize("file", sorted(OBSERVABILITY.iterdir()), ids=lambda file: file.name)
def test_what_is_asked_for_is_emitted(file):
    """A query for a name that nothing emits shows nothing, and an alert on it never fires."""
    asked = set(ASKED.findall(file.read_text("utf-8")))
    assert sorted(asked - names_in_prometheus(read())) == []
