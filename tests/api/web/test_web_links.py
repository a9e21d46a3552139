from urllib.parse import urlsplit

import pytest

from dotflow.api.limits import decode_part, decode_path
from dotflow.api.web.links import Links

HOSTILE = ["a/b", "a%2Fb", "%", "a?b#c", "ü ~", "..a", "a\\b", "<script>", "\"'"]


@pytest.mark.parametrize("workflow_id", HOSTILE)
def test_a_link_names_the_run_that_it_was_made_for(workflow_id):
    path = urlsplit(Links("/below/").task(workflow_id, 3)).path
    below, runs, part, tasks, number = decode_path(path).removeprefix("/").split("/")
    assert (below, runs, tasks, number) == ("below", "runs", "tasks", "3")
    assert decode_part(part) == workflow_id


def test_only_what_is_asked_for_is_in_an_address():
    links = Links()
    assert links.runs(status=[], name="", text="a&b", after=None) == "/?text=a%26b"
    assert links.runs(status=["Failed", "In progress"]) == "/?status=Failed&status=In+progress"
    assert links.events() == "/events"
    assert links.login("/runs/a b") == "/login?next=%2Fruns%2Fa+b"


def test_a_name_that_no_path_can_hold_leads_to_its_runs():
    assert Links("/p").trends("..", last=20) == "/p/?name=.."
    assert Links().trends("...") == "/trends/..."
