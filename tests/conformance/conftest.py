"""The rows' programs, run side by side; and the table of what passed."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

# Before they are imported: then a check that fails says what it saw.
pytest.register_assert_rewrite("conformance_checks", "conformance_runs")

import conformance_table  # noqa: E402
from conformance_runs import TOKEN, run_row  # noqa: E402
from support.otlp import OtlpReceiver  # noqa: E402

from dotflow.api import ApiServer  # noqa: E402

AT_ONCE = 3

_results = {}


@pytest.fixture(scope="session")
def rows(request):
    """What each row's programs did: a row -> Ran function. Only rows that are asked for run."""
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [one.params["row"] for one in parameters if one and "outcome" in one.params]
    with (
        tempfile.TemporaryDirectory() as folder,
        ApiServer(f"sqlite:///{folder}/api.db", TOKEN) as api,
        OtlpReceiver() as receiver,
    ):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ran = {row: pool.submit(run_row, row, receiver, api) for row in dict.fromkeys(wanted)}
        yield lambda row: ran[row].result()  # raises what went wrong with this row


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    spec = getattr(item, "callspec", None)
    if spec is not None and "outcome" in spec.params and report.when == "call":
        cell = (spec.params["row"].name, spec.params["outcome"].name)
        _results[cell] = report.outcome == "passed"
    return report


def pytest_sessionfinish(session):
    if os.environ.get("DOTFLOW_TEST_WRITE_CONFORMANCE"):
        conformance_table.write(_results)
