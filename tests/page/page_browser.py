"""A browser that nothing escapes: errors, refused scripts, and requests to anywhere else."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import resources
from urllib.parse import urlsplit

DEADLINE = 60_000
"""Milliseconds that a page may take on a machine with other work to do."""

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
    "--disable-dev-shm-usage", "--force-color-profile=srgb", "--font-render-hinting=none",
    # There is no internet: what a page asks of it is an error of the page.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Browser:
    """Opens windows.

    Args:
        chromium: Playwright's browser.
    """

    def __init__(self, chromium):
        from playwright.sync_api import expect

        expect.set_options(timeout=DEADLINE)
        self._chromium = chromium
        self._expect = expect

    @contextmanager
    def window(self, url, *, allowed=(), **options):
        """A window on a server, which fails the test where something went wrong in it.

        Args:
            url: The server's address; paths are relative to it.
            allowed: Parts of errors that the test provokes.
            options: Those of Playwright's context.
        """
        options = {"viewport": DESK, "locale": "en-GB", "timezone_id": "UTC", **options}
        context = self._chromium.new_context(**options)
        context.set_default_timeout(DEADLINE)
        try:
            window = Window(context, self._expect, url, allowed)
            yield window
            window.check()
        finally:
            context.close()


class Window:
    """A window: Playwright's page, with what went wrong in it."""

    def __init__(self, context, expect, url, allowed):
        self.context = context
        self.expect = expect
        self.url = url
        self.faults = []
        self.asked = []
        self._allowed = allowed
        self.page = context.new_page()
        context.on("request", self._ask)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.faults.append(f"raised: {error.error}"))
        context.on("requestfailed", self._fail)

    def open(self, path="/", status=200):
        """Look at a page, and give it."""
        answer = self.page.goto(self.url + path)
        assert answer.status == status, (path, answer.status)
        return self.page

    def check(self):
        """Hold that nothing went wrong so far."""
        allowed = self._allowed
        faults = [one for one in self.faults if not any(part in one for part in allowed)]
        assert not faults, faults

    def violations(self):
        """What axe finds that keeps people from using this page."""
        self.page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
        found = self.page.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")
        assert len(found["passes"]) > 10, "axe looked at nothing"
        return [
            (self.page.url, one["id"], node["html"][:200], node["failureSummary"])
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def overflow(self):
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def _ask(self, request):
        self.asked.append(request.url)
        if request.url.startswith("data:"):
            return
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.faults.append(f"asked another host: {request.url}")

    def _hear(self, message):
        # Refused scripts and styles are told of here too.
        if message.type in ("error", "warning"):
            where = message.location.get("url", "")
            self.faults.append(f"{message.type}: {message.text} ({where})")

    def _fail(self, request):
        # A page that is left ends what it still asks for.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"no answer: {request.url}: {request.failure}")
