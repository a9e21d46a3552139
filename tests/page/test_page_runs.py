"""The list of runs in a browser."""

from __future__ import annotations

from datetime import timedelta

from page_reports import Reports
from page_servers import Program, api


def rows(page):
    return page.locator("#runs tbody tr")


def texts(page):
    """What the rows say, all at one moment: the list may be asked for anew at any other."""
    said = "[...document.querySelectorAll('#runs tbody tr')].map((row) => row.innerText)"
    return page.evaluate(said)


def test_a_run_is_seen_as_it_goes(window, server, tmp_path):
    """A run appears, goes on and ends on a page that nobody loads anew."""
    page = window.open()
    page.evaluate("window.stayed = true")
    row = rows(page).filter(has_text="watched")
    with Program(tmp_path, "watched", server.url) as program:
        window.expect(row.locator(".status")).to_have_text("In progress")
        window.expect(page.locator("#live")).to_have_attribute("data-state", "live")
        for step, counts in [("extract", "1/3"), ("load", "2/3"), ("publish", "2/3 1 failed")]:
            program.go_on(step)
            window.expect(row.locator(".counts")).to_have_text(counts)
        window.expect(row.locator(".status")).to_have_text("Failed")
        program.wait()
    assert page.evaluate("window.stayed")


def test_the_list_is_filtered_by_what_people_choose(window):
    """A choice is in the address, which shows the same to whoever it is sent to."""
    page = window.open()
    total = rows(page).count()
    page.locator(".chip", has_text="Failed").click()
    window.expect(page).to_have_url(f"{window.url}/?status=Failed")
    window.expect(rows(page).first.locator(".status")).to_have_text("Failed")
    failed = rows(page).count()
    assert 0 < failed < total
    page.get_by_role("searchbox").fill("4711")
    window.expect(page).to_have_url(f"{window.url}/?text=4711&status=Failed")
    page.get_by_label("Workflow", exact=True).select_option("nightly_orders")
    window.expect(page).to_have_url(f"{window.url}/?text=4711&status=Failed&name=nightly_orders")
    asked = page.url.removeprefix(window.url)
    found = texts(page)
    window.open(asked)
    assert texts(page) == found
    assert page.locator(".chip input:checked").get_attribute("value") == "Failed"
    page.get_by_role("link", name="Clear the filter").click()
    window.expect(rows(page)).to_have_count(total)


def test_going_back_shows_the_list_as_it_was(window):
    """The browser's own buttons work, also after a choice."""
    page = window.open()
    total = rows(page).count()
    page.locator(".chip", has_text="Completed").click()
    window.expect(page).to_have_url(f"{window.url}/?status=Completed")
    page.go_back()
    window.expect(page).to_have_url(f"{window.url}/")
    window.expect(rows(page)).to_have_count(total)
    assert page.locator(".chip input:checked").count() == 0


def test_a_range_of_time_is_the_readers_own(browser, server):
    """What somebody in another zone writes is that moment there."""
    with browser.window(server.url, timezone_id="Asia/Tokyo") as window:
        page = window.open()
        page.get_by_text("Between…").click()
        page.get_by_label("Began at or after").fill("2026-01-05T09:00")
        page.get_by_label("Began at or after").press("Tab")
        window.expect(page).to_have_url(f"{window.url}/?since=2026-01-05T00%3A00Z")


def test_the_page_says_that_it_hears_nothing(browser, tmp_path_factory):
    """Whoever looks at a server that is gone is told; what was there stays."""
    folder = tmp_path_factory.mktemp("gone")
    gone = ("net::ERR_", "htmx:")
    with api(folder) as running, browser.window(running.url, allowed=gone) as window:
        page = window.open()
        window.expect(page.locator("#live")).to_have_attribute("data-state", "live")
        running.__exit__()
        window.expect(page.locator("#live")).not_to_have_attribute("data-state", "live")
        window.expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()


def test_a_change_while_the_list_is_asked_for_is_shown(browser, tmp_path_factory):
    """An answer that was on its way already does not have it: the list is asked for once more."""
    change = "document.body.dispatchEvent(new CustomEvent('changed'))"
    with (
        api(tmp_path_factory.mktemp("late")) as running,
        browser.window(running.url, allowed=("/events",)) as window,
    ):

        def late(route):
            answer = route.fetch()
            Reports(running.url).run("late", "late", ago=timedelta(minutes=1))
            page.evaluate(change)
            route.fulfill(response=answer)

        page = window.page
        page.add_init_script("window.setInterval = () => 0")
        page.route("**/events*", lambda route: route.abort())  # nothing else tells it of a change
        window.open()
        page.wait_for_load_state("networkidle")
        page.route(f"{running.url}/", late, times=1)
        page.evaluate(change)
        window.expect(rows(page).filter(has_text="late")).to_have_count(1)


def test_a_page_whose_session_ends_leads_to_where_people_log_in(browser, tmp_path_factory):
    """What a page asks for anew is refused then; it comes back to the same list afterwards."""
    folder = tmp_path_factory.mktemp("ended")
    refused = ("401", "/events")
    with (
        api(folder, DOTFLOW_API_TOKEN="secret") as running,
        browser.window(running.url, allowed=refused) as window,
    ):
        page = window.open("/?status=Failed")
        for _ in range(2):
            page.get_by_label("Token").fill("secret")
            page.get_by_role("button", name="Log in").click()
            window.expect(page).to_have_url(f"{window.url}/?status=Failed")
            window.expect(page.locator("#live")).to_have_attribute("data-state", "live")
            page.context.clear_cookies()
            page.evaluate("document.body.dispatchEvent(new CustomEvent('changed'))")
            window.expect(page.get_by_label("Token")).to_be_visible()
