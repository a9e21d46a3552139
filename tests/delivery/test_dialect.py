"""Routes and headers of both dialects."""

from __future__ import annotations

import pytest

from dotflow.delivery.dialect import Destination, Dialect, bulk_route
from dotflow.delivery.message import Kind, Message

BASE = "https://api.example/base"


def route(dialect, kind, workflow="w", task=None, server_id=None):
    message = Message(kind, workflow, task, b"{}", 1, "key")
    return Destination(BASE, "t", dialect).route(message, server_id)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_routes_that_both_have(dialect):
    """Workflows and new tasks have the same routes in both dialects."""
    assert route(dialect, Kind.WORKFLOW_POST) == ("POST", "/workflows")
    assert route(dialect, Kind.WORKFLOW_PATCH) == ("PATCH", "/workflows/w")
    assert route(dialect, Kind.TASK_POST, task=3) == ("POST", "/workflows/w/tasks")


def test_task_patch_of_each_dialect():
    """A task is changed by the server's id in one dialect, by its number in the other."""
    default, managed = Dialect.DEFAULT, Dialect.MANAGED
    assert route(default, Kind.TASK_PATCH, task=3, server_id="s/9") == ("PATCH", "/tasks/s%2F9")
    assert route(default, Kind.TASK_PATCH, task=3) == ("PATCH", "/tasks/3")
    expected = ("PATCH", "/workflows/w/tasks/3")
    assert route(managed, Kind.TASK_PATCH, task=3, server_id="9") == expected


@pytest.mark.parametrize("kind", list(Kind))
def test_a_bulk_has_the_managed_routes(kind):
    """In a bulk a task is changed by its number, whatever the dialect."""
    task = 3 if kind in (Kind.TASK_POST, Kind.TASK_PATCH) else None
    message = Message(kind, "a/b", task, b"{}", 1, "key")
    assert bulk_route(message) == route(Dialect.MANAGED, kind, "a/b", task)


def test_next_id_route():
    """The next number is asked for under the workflow."""
    destination = Destination(BASE, "t", Dialect.MANAGED)
    assert destination.next_task_id_path("a b") == "/workflows/a%20b/tasks/next-id"


@pytest.mark.parametrize(
    ("workflow", "quoted"),
    [
        ("orders 2026/11", "orders%202026%2F11"),
        ("a?b#c%2F&d", "a%3Fb%23c%252F%26d"),
        ("żółw", "%C5%BC%C3%B3%C5%82w"),
        ("half \ud800", "half%20%EF%BF%BD"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
    ],
)
def test_ids_are_quoted(workflow, quoted):
    """Whatever an id holds, it is one segment of the path."""
    assert route(Dialect.DEFAULT, Kind.WORKFLOW_PATCH, workflow) == (
        "PATCH",
        f"/workflows/{quoted}",
    )


def test_headers_and_variables():
    """Each dialect has its header, and its variable to mend."""
    default = Destination(BASE, "tok", Dialect.DEFAULT)
    managed = Destination(BASE, "tok", Dialect.MANAGED)
    assert default.auth_header == ("X-User-Token", "tok")
    assert managed.auth_header == ("Authorization", "Bearer tok")
    assert default.token_variable == "DOTFLOW_USER_TOKEN"
    assert managed.token_variable == "SERVER_USER_TOKEN"


def test_the_token_shows_in_no_repr():
    """A Destination can be printed without giving the token away."""
    assert "tok3n" not in repr(Destination(BASE, "tok3n"))


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://x", "http://", "https:///path", "https://h/?x=1", "https://u:p4ss@h",
     "u:p4ss@h", "https://h/?key=p4ss", "https://u:p4ss@[::1", "https://h:port", "https://h:99999",
     "https://u:p4ss@h\u2100", "https://h/\x7f", "https://h/\r\nX: y", "https://[::1"],
)  # fmt: skip
def test_bad_addresses_are_refused(url):
    """An address that cannot be one is refused at once, and a password in it not repeated."""
    with pytest.raises(ValueError, match="the address of dotflow-api") as caught:
        Destination(url, "t")
    assert "p4ss" not in str(caught.value)


@pytest.mark.parametrize("token", ["a\nb", "żółw", "a\x00b"])
def test_tokens_that_no_header_holds_are_refused(token):
    """A token that could never be sent is refused at once, and not repeated."""
    with pytest.raises(ValueError, match="DOTFLOW_USER_TOKEN") as caught:
        Destination(BASE, token)
    assert token not in str(caught.value)


def test_small_slips_are_mended():
    """A slash at the end of the address and a newline at the end of either do no harm."""
    destination = Destination(f" {BASE}//\r\n", "tok\n")
    assert (destination.url, destination.token) == (BASE, "tok")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.org", True),
        ("http://10.0.0.1:80", True),
        ("https://example.org", False),
        ("http://localhost:8000", False),
        ("http://127.0.0.1", False),
        ("http://[::1]:8000", False),
        ("http://127.9.9.9", False),
        ("http://127.0.0.1.example.org", True),
        ("http://127.evil", True),
        ("http://localhost.example.org", True),
        ("http://0.0.0.0", True),
    ],
)
def test_plain_and_far(url, expected):
    """Only plain http to another machine shows the token on the way."""
    assert Destination(url, "t").is_plain_and_far is expected
