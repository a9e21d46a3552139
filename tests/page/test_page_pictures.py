"""The pictures of docs/pages/, which are of the pages as they are: `.ci/browser --pictures`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_browser import PHONE
from page_reports import Reports, fill
from page_servers import api

DOCS = Path(__file__).parents[2] / "docs"
SIZE = 150_000
"""Bytes of a picture, at most."""

PICTURES = {
    "runs": ("/", {}),
    "trends": ("/trends/nightly_orders", {}),
    "run": ("/runs/going", {}),
    "run-dark": ("/runs/broken", {"color_scheme": "dark"}),
    "run-phone": ("/runs/broken", {"viewport": PHONE}),
    "task": ("/runs/broken/tasks/6", {}),
}


def take(window, path, file):
    """Take a picture of what a window shows of a page."""
    page = window.open(path)
    if page.locator(".wf").count():
        page.wait_for_selector(".wf:not([aria-busy])")
    window.expect(page.locator("#live")).to_have_attribute("data-state", "live")
    if "/tasks/" in path:
        page.locator(".error summary").first.click()
    file.write_bytes(page.screenshot(animations="disabled"))  # in this thread


def test_the_pictures_are_taken(request, browser, tmp_path_factory):
    """Each page can be seen; the pictures of docs/ are taken anew where they are asked for."""
    is_asked = request.config.getoption("--pictures", default=False)
    folder = DOCS / "pages" if is_asked else tmp_path_factory.mktemp("pictures")
    names = list(PICTURES) if is_asked else ["run-phone"]
    with api(tmp_path_factory.mktemp("api")) as running:
        fill(Reports(running.url))
        for name in names:
            path, options = PICTURES[name]
            with browser.window(running.url, **options) as window:
                take(window, path, folder / f"{name}.png")
    for name in names:
        picture = (folder / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert 10_000 < len(picture) < SIZE, name


@pytest.mark.parametrize("name", PICTURES)
def test_docs_show_the_pictures(name):
    """Each picture is there, small, and shown with words for those who do not see it."""
    picture = (DOCS / "pages" / f"{name}.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < SIZE
    text = (DOCS / "guides" / "page.md").read_text(encoding="utf-8")
    assert re.search(rf"!\[[^\]]{{10,}}\]\(\.\./pages/{name}\.png\)", text)
