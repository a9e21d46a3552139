"""Everybody can use the pages: by axe's rules, in light and dark, and on a phone."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from page_browser import PHONE
from page_reports import HOSTILE_ID

HOSTILE = f"/runs/{quote(HOSTILE_ID, safe='')}"
PATHS = (
    *("/", "/trends", "/trends/nightly_orders", "/runs/broken", "/runs/going"),
    *("/runs/broken/tasks/6", HOSTILE, f"{HOSTILE}/tasks/1"),
)
LOOKS = {
    "at a desk": {},
    "on a phone in the dark": {"viewport": PHONE, "color_scheme": "dark", "has_touch": True},
}


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_is_kept_out(browser, server, look):
    """Axe finds nothing, and no page is wider than its window."""
    with browser.window(server.url, **LOOKS[look]) as window:
        for path in PATHS:
            page = window.open(path)
            if page.locator(".wf").count():
                page.wait_for_selector(".wf:not([aria-busy])")
            for one in page.locator("details").all():
                one.evaluate("one => { one.open = !one.classList.contains('between'); }")
            assert window.violations() == []
            assert window.overflow() <= 0, path


def test_the_description_of_the_api_is_for_everybody_too(browser, server):
    """Axe finds nothing on a page that is long; once is enough."""
    with browser.window(server.url, color_scheme="dark") as window:
        window.open("/docs")
        assert window.violations() == []


def test_dark_is_dark(browser, server):
    """Whoever likes it dark gets it, pictures too, and at once when they change their mind."""
    ground = "body => getComputedStyle(body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    picture = "canvas => canvas.toDataURL()"
    with browser.window(server.url, color_scheme="dark") as window:
        page = window.open("/runs/broken")
        page.wait_for_selector(".wf:not([aria-busy])")
        body, canvas = page.locator("body"), page.locator(".wf canvas")
        dark, before = body.evaluate(ground), canvas.evaluate(picture)
        page.emulate_media(color_scheme="light")
        page.wait_for_function(
            "before => document.querySelector('.wf canvas').toDataURL() !== before", arg=before
        )
        assert dark < 50
        assert body.evaluate(ground) > 200


def test_who_has_no_script_reads_the_same(browser, server):
    """Without JavaScript there are runs, tasks and errors, and a button that filters."""
    unloaded = ".js: csp"  # so Chromium says that it loads no module that it was told of
    with browser.window(server.url, allowed=(unloaded,), java_script_enabled=False) as window:
        page = window.open("/")
        page.get_by_role("checkbox", name="Failed").check()
        page.get_by_role("button", name="Filter").click()
        assert "status=Failed" in page.url
        page.locator("a[href='/runs/broken']").first.click()
        assert page.locator("#tasks tbody tr").count() == 10
        page.locator("#failed a").click()
        page.locator("summary", has_text="Traceback").first.click()
        assert page.locator(".error pre").first.is_visible()
