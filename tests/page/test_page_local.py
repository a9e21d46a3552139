"""The pages that need no server: those of this machine's runs, and of the demonstration."""

from __future__ import annotations

from page_servers import DOTFLOW, Program, Served


def test_the_runs_of_this_machine_are_seen_as_they_go(browser, tmp_path):
    """`dotflow ui` shows a run from its log, live, and keeps it when it is over."""
    program = Program(tmp_path, "here", DOTFLOW_HISTORY="16MB")
    with Served(tmp_path, DOTFLOW, "ui") as ui, browser.window(ui.url) as window:
        page = window.open()
        window.expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
        with program:
            row = page.locator("#runs tbody tr").filter(has_text="here")
            window.expect(row.locator(".status")).to_have_text("In progress")
            for step in ("extract", "load", "publish"):
                program.go_on(step)
            window.expect(row.locator(".status")).to_have_text("Failed")
            program.wait()
        row.get_by_role("link").first.click()
        page.wait_for_selector(".wf:not([aria-busy])")
        page.locator("#failed a").click()
        window.expect(page.locator(".message")).to_have_text("nobody reads this")
        assert window.violations() == []
        assert page.get_by_role("button", name="Log out").count() == 0


def test_the_demonstration_ends_with_a_page(browser, tmp_path):
    """`dotflow demo --serve` leads to a run that failed, and to the one that went well."""
    command = (DOTFLOW, "demo", "--serve")
    with (
        Served(tmp_path, *command, before="what failed: +") as demo,
        browser.window(demo.url) as window,
    ):
        page = window.open("")
        page.wait_for_selector(".wf:not([aria-busy])")
        window.expect(page.locator("#failed li").first).to_be_visible()
        page.get_by_role("link", name="Runs", exact=True).first.click()
        window.expect(page.locator("#runs .of-status")).to_have_text(["Failed", "Completed"])
