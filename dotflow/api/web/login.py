"""Where people give the token, and leave again."""

from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from dotflow.api.guard.sessions import SESSION, Sessions
from dotflow.api.web.links import Links
from dotflow.api.web.page import pages, show

router = pages()


@router.get("/login")
async def ask(request: Request) -> Response:
    """Show the form, or lead on whoever is in already."""
    after = own(request.query_params.get("next", ""))
    if request.app.state.sessions is None or request.scope[SESSION]:
        return _lead(request, after)
    return _form(request, after)


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Begin a session for whoever knows the token."""
    sessions: Sessions | None = request.app.state.sessions
    given = parse_qs((await request.body()).decode("latin-1"), encoding="utf-8")
    after = own(given.get("next", [""])[0])
    if sessions is None:
        return _lead(request, after)
    if sessions.is_busy:
        answer = _form(request, after, "Many wrong tokens came just now. Try again soon.", 429)
        answer.headers["Retry-After"] = "5"
        return answer
    if not await sessions.knows(given.get("token", [""])[0].strip()):
        return _form(request, after, "This is not the token of this server.", 403)
    answer = _lead(request, after)
    sessions.begin(request.scope, answer)
    return answer


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session."""
    links = Links.of(request)
    if request.app.state.sessions is None:
        return RedirectResponse(links.runs(), 303)
    answer = RedirectResponse(links.login(), 303)
    await request.app.state.sessions.end(request.scope, answer)
    return answer


def own(address: str) -> str:
    r"""Gives an address if it is a path of ours, else the first page's.

    Args:
        address: What a link said. ``//other`` and ``/\other`` lead away.
    """
    is_path = address.startswith("/") and address[1:2] not in {"/", "\\"} and address.isprintable()
    return address if is_path else "/"


def _lead(request: Request, after: str) -> RedirectResponse:
    return RedirectResponse(Links.of(request).prefix + after, 303)


def _form(request: Request, after: str, fault: str = "", status: int = 200) -> Response:
    return show(request, "login.html", title="Log in", status=status, after=after, fault=fault)
