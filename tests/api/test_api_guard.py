"""Who is let in, and from where: sessions of people, names, origins, kinds of bodies."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from api_client import TOKEN
from sqlalchemy import create_engine

from dotflow.api import ApiServer, create_app
from dotflow.api.guard import sessions as kept
from dotflow.api.store import Store

HTML = {"Accept": "text/html,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    file = tmp_path_factory.mktemp("guard") / "records.db"
    with ApiServer(f"sqlite:///{file}", TOKEN, behind_proxy=True) as running:
        yield running


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    file = tmp_path_factory.mktemp("open") / "records.db"
    url = f"sqlite:///{file}"
    with ApiServer(url, root_path="/flow/", allowed_hosts=["Flow.example"]) as running:
        yield running


def ask(method: str, url: str, **options: Any) -> requests.Response:
    return requests.request(method, url, timeout=60, allow_redirects=False, **options)


def log_in(url: str, **more: str) -> requests.Response:
    headers = {"Origin": url, **more}
    return ask("POST", f"{url}/login", data={"token": TOKEN, "next": "/?name=a"}, headers=headers)


def test_person_is_led_in_and_out_again(guarded: ApiServer) -> None:
    """A browser is led to the form and back; its cookie holds no token and ends with log out."""
    url = guarded.url
    led = ask("GET", f"{url}/runs/a%2Fb?x=1", headers=HTML)
    assert (led.status_code, led.headers["Location"]) == (
        303,
        "/login?next=%2Fruns%2Fa%252Fb%3Fx%3D1",
    )
    form = ask("GET", url + led.headers["Location"], headers=HTML)
    assert 'value="/runs/a%2Fb?x=1"' in form.text
    assert "Log out" not in form.text
    answer = log_in(url)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?name=a")
    said = answer.headers["Set-Cookie"].lower()
    assert {"httponly", "samesite=lax", "path=/"} <= set(said.replace("; ", ";").split(";"))
    assert "secure" not in said
    assert TOKEN not in said
    cookies = dict(answer.cookies)
    page = ask("GET", f"{url}/", headers=HTML, cookies=cookies)
    assert (page.status_code, "Log out" in page.text) == (200, True)
    assert ask("GET", f"{url}/workflows", cookies=cookies).status_code == 200
    out = ask("POST", f"{url}/logout", cookies=cookies, headers={"Origin": url})
    assert (out.status_code, out.headers["Location"]) == (303, "/login")
    assert ask("GET", f"{url}/workflows", cookies=cookies).status_code == 401


def test_whoever_logs_out_is_out_everywhere(tmp_path: Path) -> None:
    """A copy of the cookie is no good at another process of the same server."""
    url = f"sqlite:///{tmp_path}/records.db"
    with ApiServer(url, TOKEN) as one, ApiServer(url, TOKEN) as other:
        cookies = dict(log_in(one.url).cookies)
        assert ask("GET", f"{other.url}/workflows", cookies=cookies).status_code == 200
        ask("POST", f"{one.url}/logout", cookies=cookies, headers={"Origin": one.url})
        assert ask("GET", f"{other.url}/workflows", cookies=cookies).status_code == 401


def test_cookie_is_secure_behind_https(guarded: ApiServer) -> None:
    """Where the proxy speaks https the cookie never goes over http, and stays below the prefix."""
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/flow"}
    answer = log_in(guarded.url, **forwarded)
    said = answer.headers["Set-Cookie"]
    assert ("Secure" in said, "Path=/flow" in said) == (True, True)
    assert answer.headers["Location"] == "/flow/?name=a"


def test_wrong_token_is_slowed_down(guarded: ApiServer) -> None:
    """A wrong token takes a second, begins no session and is not repeated."""
    begun = time.monotonic()
    headers = {"Origin": guarded.url}
    answer = ask("POST", f"{guarded.url}/login", data={"token": "gue<ss"}, headers=headers)
    assert time.monotonic() - begun >= kept.WAIT_SECONDS
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert "gue" not in answer.text


@pytest.mark.parametrize(
    "cookie", ["", "x", "9999999999.ab.", "9999999999.ab.0000", "\u00e9.\u00e9.\u00e9", ".."]
)
def test_made_up_session_is_none(cookie: str) -> None:
    """What was not signed with our key, or is over, is no session."""
    sessions = kept.Sessions(TOKEN, Store(create_engine("sqlite://")))  # it is not asked
    name = f"{sessions._name}={cookie}"
    scope = {"headers": [(b"cookie", name.encode("utf-8"))]}
    assert not asyncio.run(sessions.admits(scope))


def test_session_is_over_in_time(monkeypatch: pytest.MonkeyPatch, guarded: ApiServer) -> None:
    """A session ends by itself, whatever the browser does."""
    cookies = dict(log_in(guarded.url).cookies)
    assert ask("GET", f"{guarded.url}/workflows", cookies=cookies).status_code == 200
    later = time.time() + kept.LIFETIME_SECONDS + 1
    monkeypatch.setattr(kept.time, "time", lambda: later)
    assert ask("GET", f"{guarded.url}/workflows", cookies=cookies).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "self"}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 201),
        ({"Origin": "https://flow.example", "X-Forwarded-Host": "flow.example"}, 201),
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "self", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_session_changes_nothing_for_others(
    guarded: ApiServer, headers: dict[str, str], status: int
) -> None:
    """With a cookie only a page of ours may change something; the token is enough for programs."""
    sent = {name: guarded.url if value == "self" else value for name, value in headers.items()}
    cookies = dict(log_in(guarded.url).cookies)
    body = {"id": str(sorted(headers.items()))}
    answer = ask("POST", f"{guarded.url}/workflows", json=body, headers=sent, cookies=cookies)
    assert answer.status_code == status
    sent["X-User-Token"] = TOKEN
    body = {"id": "with a token" + body["id"]}
    answer = ask("POST", f"{guarded.url}/workflows", json=body, headers=sent)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "after", ["//evil.example", "/\\evil.example", "https://evil.example", "x"]
)
def test_nobody_is_led_away(guarded: ApiServer, after: str) -> None:
    """After log in it goes on with a path of ours and nothing else."""
    data = {"token": TOKEN, "next": after}
    headers = {"Origin": guarded.url}
    answer = ask("POST", f"{guarded.url}/login", data=data, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_open_server_answers_to_names_of_its_own(unguarded: ApiServer) -> None:
    """Without a token a name that is not known is refused: a stranger's page may have made it."""
    for host, status in (
        ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("a.localhost", 200),
        ("flow.example", 200), ("evil.example", 421), ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421), ("[", 421),
    ):  # fmt: skip
        answer = ask("GET", f"{unguarded.url}/workflows", headers={"Host": host})
        assert (host, answer.status_code) == (host, status)
    assert "--allow-host" in ask("GET", unguarded.url, headers={"Host": "x.y"}).json()["detail"]


def test_other_sites_change_nothing_on_an_open_server(unguarded: ApiServer) -> None:
    """A page of another site is refused, also with a body that no browser asks about."""
    path = f"{unguarded.url}/workflows"
    strange = {"Origin": "http://evil.example", "Content-Type": "text/plain"}
    assert ask("POST", path, data='{"id": "a"}', headers=strange).status_code == 403
    answer = ask("POST", path, data='{"id": "a"}', headers={"Content-Type": "text/plain"})
    assert (answer.status_code, "application/json" in answer.json()["detail"]) == (415, True)
    assert ask("POST", path, data=b"\xff", headers=FORM).status_code == 415
    kind = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert ask("POST", path, data='{"id": "a"}', headers=kind).status_code == 201


def test_pages_stand_below_the_prefix(unguarded: ApiServer) -> None:
    """With the prefix or without it, every link of a page has it."""
    for path in ("/flow/", "/flow", "/"):
        page = ask("GET", unguarded.url + path, headers=HTML)
        assert page.status_code == 200
        assert 'href="/flow/static/' in page.text
        assert 'href="/static/' not in page.text
    asset = page.text.partition('stylesheet" href="')[2].partition('"')[0]
    assert ask("GET", unguarded.url + asset).headers["Content-Type"].startswith("text/css")
    assert ask("GET", f"{unguarded.url}/flow/login").headers["Location"] == "/flow/"
    assert ask("GET", f"{unguarded.url}/flowers").status_code == 404
    # Without the flag nobody decides on the prefix from outside.
    page = ask("GET", f"{unguarded.url}/", headers={"X-Forwarded-Prefix": "/evil"})
    assert "/evil" not in page.text


@pytest.mark.parametrize("prefix", ["flow", "//evil", "/a b", "/a?b", "/a/../b"])
def test_prefix_that_is_none_is_refused(sqlite_url: str, prefix: str) -> None:
    """A prefix is a plain path."""
    with pytest.raises(ValueError, match="/dotflow"):
        create_app(sqlite_url, root_path=prefix)


def test_every_answer_has_the_headers(guarded: ApiServer) -> None:
    """Pages, records and refusals say what may be loaded, and that no type is to be guessed."""
    for path in ("/login", "/workflows", "/static/x/page.css", "/nowhere"):
        headers = ask("GET", guarded.url + path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == (
            "nosniff", "same-origin",
        )  # fmt: skip


def test_the_api_is_described_without_the_internet(unguarded: ApiServer) -> None:
    """The page of the API has every route and body, below the prefix, and loads our files alone."""
    page = ask("GET", f"{unguarded.url}/flow/docs", headers=HTML).text
    for words in (
        "</b> /flow/workflows/{workflow_id}/tasks", 'href="/flow/openapi.json"',
        'id="schema-WorkflowPost"', "Idempotency-Key", "<code>415</code>", "<code>next</code>",
    ):  # fmt: skip
        assert words in page
    assert "http://" not in page
    assert "https://" not in page
    for link in set(re.findall(r'href="#([^"]+)"', page)):
        assert f'id="{link}"' in page


def test_answers_are_short_for_programs_and_in_lines_for_people(unguarded: ApiServer) -> None:
    """What is long is compressed for whoever takes it; JSON is the same, set out for a browser."""
    url = f"{unguarded.url}/workflows"
    body = {"id": "long", "name": "Zürich" * 20, "tasks": []}
    assert ask("POST", url, json=body).status_code == 201
    task = {"id": 1, "name": "x", "initial_context": {"a": 10**30, "b": "x" * 5000}}
    assert ask("POST", f"{url}/long/tasks", json=task).status_code == 201
    path = f"{url}/long/tasks/1"
    plain = ask("GET", path, headers={"Accept-Encoding": "identity"})
    packed = ask("GET", path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert (packed.headers["Content-Encoding"], packed.content) == ("gzip", plain.content)
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 5
    page = ask("GET", path, headers=HTML)
    assert page.json() == plain.json()
    assert (plain.text.count("\n"), '\n    "a": 1000000000000000' in page.text) == (0, True)
    assert "Zürich" in ask("GET", f"{url}/long", headers=HTML).text
    stream = {"Accept-Encoding": "gzip", "Accept": "text/html"}
    with requests.get(
        f"{unguarded.url}/flow/events", headers=stream, stream=True, timeout=60
    ) as one:
        assert "Content-Encoding" not in one.headers
        assert b"retry" in next(one.iter_lines())
