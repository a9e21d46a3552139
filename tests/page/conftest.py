"""A real Chromium, and a server with runs for it to look at."""

from __future__ import annotations

import os

import pytest
from page_browser import FLAGS, Browser
from page_reports import Reports, fill, hostile, many
from page_servers import api

VARIABLE = "DOTFLOW_TEST_BROWSER"


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true", help="take the pictures of docs/ anew")


@pytest.fixture(scope="session")
def browser():
    """The browser that `.ci/browser` finds."""
    path = os.environ.get(VARIABLE)
    if not path:
        pytest.skip(f"a real Chromium: .ci/browser installs it and sets {VARIABLE}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    """A dotflow-api without a token, with runs of all kinds."""
    with api(tmp_path_factory.mktemp("api")) as running:
        reports = Reports(running.url)
        for report in (fill, hostile, many):
            report(reports)
        yield running


@pytest.fixture
def window(browser, server):
    """A window on that server."""
    with browser.window(server.url) as window:
        yield window
