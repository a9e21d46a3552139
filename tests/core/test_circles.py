"""No module of the contracts, the engine and the providers imports, in a circle, itself."""

from __future__ import annotations

import grimp
import pytest

PACKAGES = ("dotflow.abc", "dotflow.core", "dotflow.providers")


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("dotflow", exclude_type_checking_imports=False, cache_dir=None)


def of_packages(graph):
    return {name for name in graph.modules if name.startswith(PACKAGES)}


def test_no_circles(graph):
    """No module imports one that leads back to it, for types or in a function either."""
    modules = of_packages(graph)
    circles = [
        (name, imported)
        for name in modules
        for imported in graph.find_modules_directly_imported_by(name) & modules
        if graph.find_shortest_chain(imported, name)
    ]
    assert len(modules) > 50
    assert circles == []


def test_the_contracts_know_nothing_of_the_engine(graph):
    """`dotflow.abc` imports nothing of any other part but shared constants and texts."""
    allowed = ("dotflow.abc", "dotflow.constants", "dotflow.utils")
    outside = {
        imported
        for name in graph.modules
        if name.startswith("dotflow.abc")
        for imported in graph.find_modules_directly_imported_by(name)
        if not imported.startswith(allowed)
    }
    assert outside == set()


def test_the_engine_knows_the_defaults_alone(graph):
    """Of `dotflow.core` only Config knows a provider."""
    knowing = {
        name
        for name in graph.modules
        if name.startswith("dotflow.core")
        for imported in graph.find_modules_directly_imported_by(name)
        if imported.startswith("dotflow.providers")
    }
    assert knowing == {"dotflow.core.config"}
