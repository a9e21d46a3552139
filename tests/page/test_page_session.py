"""A server with a token, below a path of another: as it stands in a company's network."""

from __future__ import annotations

import pytest
from page_servers import TOKEN, Program, api, proxy

PREFIX = "/tools/dotflow"
WAYS = {
    "the proxy says its prefix": ("--behind-proxy",),
    "the server knows its prefix": ("--root-path", PREFIX),
}


@pytest.fixture(scope="module", params=WAYS)
def guarded(request, browser, tmp_path_factory):
    """The address of a proxy in front of a server with a token."""
    folder = tmp_path_factory.mktemp("guarded")
    with (
        api(folder, *WAYS[request.param], DOTFLOW_API_TOKEN=TOKEN) as running,
        proxy(folder, running.url, PREFIX) as front,
    ):
        yield front.url


def test_whoever_knows_the_token_is_led_to_what_they_asked_for(browser, guarded, tmp_path):
    """Log in, follow a run as it goes, look at a task, and log out: all below the prefix."""
    refused = ("401", "403")
    with (
        browser.window(guarded, allowed=refused) as window,
        Program(tmp_path, "guarded", guarded) as program,
    ):
        page = window.page
        page.goto(guarded + "/?status=In+progress")
        window.expect(page).to_have_title("Log in · dotflow")
        assert window.violations() == []
        page.get_by_label("Token").fill("a guess")
        page.get_by_role("button", name="Log in").click()
        window.expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        window.expect(page).to_have_url(guarded + "/?status=In+progress")
        page.get_by_role("link", name="guarded").first.click()
        window.expect(page.locator("#live")).to_have_attribute("data-state", "live")
        page.wait_for_selector(".wf:not([aria-busy])")
        for step in ("extract", "load", "publish"):
            program.go_on(step)
        window.expect(page.locator("#head .status").first).to_have_text("Failed")
        page.locator("#failed a").first.click()
        window.expect(page).to_have_title("publish · Failed · guarded · dotflow")
        program.wait()
        page.get_by_role("link", name="Workflows").click()
        page.get_by_role("link", name="guarded").click()
        window.expect(page).to_have_url(f"{guarded}/trends/guarded")
        page.get_by_role("button", name="Log out").click()
        window.expect(page).to_have_title("Log in · dotflow")
        page.goto(f"{guarded}/trends/guarded")
        window.expect(page).to_have_title("Log in · dotflow")
        outside = [one for one in window.asked if not one.startswith(guarded + "/")]
        assert outside == []


def test_nothing_that_a_script_can_read_lets_anybody_in(browser, guarded):
    """The session's cookie is the browser's alone, holds no token, and stays below the prefix."""
    with browser.window(guarded) as window:
        page = window.page
        page.goto(guarded + "/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        window.expect(page).to_have_title("Runs · dotflow")
        [cookie] = window.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert cookie["path"] == PREFIX
        assert TOKEN not in cookie["value"]
        assert page.evaluate("document.cookie") == ""
        assert TOKEN not in page.content()
