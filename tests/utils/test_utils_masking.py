"""Credentials that a text names are masked, and the rest of the text stays."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dotflow.utils import masking
from dotflow.utils.masking import MAX_VERDICTS, ODD, SECRET, masked, verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter2", "password=***"),
        ("DB_PASSWORD = hunter2 and more", "DB_PASSWORD = *** and more"),
        ('{"password": "hunter2", "user": "ada"}', '{"password": ***, "user": "ada"}'),
        ("{'api_key': 'k k', 'n': 1}", "{'api_key': ***, 'n': 1}"),
        (r"{\"token\": \"a b\", \"n\": 1}", r"{\"token\": ***, \"n\": 1}"),
        (r"secret='it\'s' n=1", "secret=*** n=1"),
        ("token=b'a b' n=1", "token=*** n=1"),
        ("f(g(access_key=abc))", "f(g(access_key=***))"),
        ("https://x/?access_token=abc&n=1", "https://x/?access_token=***&n=1"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("Cookie: a=b; c='d'\nHost: x", "Cookie: ***\nHost: x"),
        ('"Authorization": "Bearer abc"', '"Authorization": ***'),
        ("authorization=Bearer abc def", "authorization=*** def"),
        ("{'tokens': ['a', {'b': 'c]'}], 'n': 1}", "{'tokens': ***, 'n': 1}"),
        ("secrets=('a', 'b'), n=1", "secrets=***, n=1"),
        ("secrets=[1, 2\nnext", "secrets=***\nnext"),
        ('password: str = "x", n', "password: ***, n"),
        ("password='never closed\nnext", "password=***\nnext"),
        ("environ['SECRET'] = 'x'", "environ['SECRET'] = ***"),
        ("postgres://ada:hunter2@host/db", "postgres://ada:***@host/db"),
        ("password => hunter2", "password => ***"),
        ("password=SecretStr('hunter2'), n", "password=***, n"),
        ("{'token': f(a)[0], 'n': 1}", "{'token': ***, 'n': 1}"),
        ("password=hun'ter)2 n", "password=*** n"),
        ("Error('password=hunter2', 1)", "Error('password=***', 1)"),
        ("{'password (old)': 'hunter2', 'n': 1}", "{'password (old)': ***, 'n': 1}"),
        ("password=", "password="),
        ("no secret here", "no secret here"),
        ("KeyError: 'token'", "KeyError: 'token'"),
        ("https://host/path: 1", "https://host/path: 1"),
        ("postgres://ada:p@ss@host/db", "postgres://ada:***@host/db"),
        ("postgres://ada:pa/ss@host/db", "postgres://ada:***@host/db"),
        ("https://ada:pw@h/p?mail=a@b.c", "https://ada:***@h/p?mail=a@b.c"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("https://ghp_0123456789abcdefghij@host/x", "https://***@host/x"),
        ("{'Api-Key': 'k'}, {'API key': 'k'}", "{'Api-Key': ***}, {'API key': ***}"),
        ("db_pass=x smtp.pass: y passphrase=z", "db_pass=*** smtp.pass: *** passphrase=***"),
        ("compass: 1, bypass=2, author: ada", "compass: 1, bypass=2, author: ada"),
        ("get(url, auth=('ada', 'x'), n=1)", "get(url, auth=***, n=1)"),
        ("host auth.example.com: down", "host auth.example.com: down"),
        ("AccountKey=a+b/c==;EndpointSuffix=x", "AccountKey=***;EndpointSuffix=x"),
        ('password = """hunter\n2""", n', "password = ***, n"),
        ('password="hun" "ter2", n', "password=***, n"),
        ("password='hun' + 'ter2', n", "password=***, n"),
        ('password=os.environ.get("X") or "hunter2", n', "password=***, n"),
        ('password=f"hun{x}ter2", n', "password=***, n"),
        ("password=hun,ter2 n", "password=*** n"),
        ("password=x,user=ada", "password=***,user=ada"),
        ("password=<Secret hunter2>, n", "password=***, n"),
        ("[('Authorization', 'Bearer b c'), ('a', 'b')]", "[('Authorization', ***), ('a', 'b')]"),
        ("environ.setdefault('TOKEN', 'x')", "environ.setdefault('TOKEN', ***)"),
        ("mysql --password hunter2 -u ada", "mysql --password *** -u ada"),
        ("['mysql', '--password', 'hunter2', 'db']", "['mysql', '--password', ***, 'db']"),
        ("tool --token --verbose", "tool --token --verbose"),
        ("<db:password>hunter2</db:password>", "<db:password>***</db:password>"),
        ("ALTER USER ada PASSWORD 'hunter2'", "ALTER USER ada PASSWORD ***"),
        ("sent Bearer eyJhbGciOi.J9 on", "sent Bearer *** on"),
        ("a bearer certificate", "a bearer certificate"),
        ("jwt.InvalidTokenError: It expired", "jwt.InvalidTokenError: It expired"),
        ("x.TokenError: token=a b", "x.TokenError: token=*** b"),
        ("Unexpected token '}' at 5", "Unexpected token '}' at 5"),
    ],
)
def test_masked(text, expected):
    """Each way to write a credential beside its name has one known form."""
    assert masked(text) == expected


names = st.sampled_from(["password", "api-key", "X_TOKEN", "Secret", "session_id"])
filling = st.text(string.ascii_letters + " \n,;", max_size=20)
needles = st.text(string.digits + "(_$.!", min_size=1, max_size=5).map("needle{}needle".format)


@settings(max_examples=200, deadline=None)
@given(filling, names, st.sampled_from("=:"), needles, filling)
def test_no_credential_is_left(before, name, between, needle, after):
    """A value beside its name is gone, and the text around it is there."""
    for form in ("{}{}{}", "{}{} {}", '"{}"{} "{}"', "'{}'{}'{}'", '{} {}"{}"'):
        said = masked(before + form.format(name, between, needle) + "\n" + after)
        assert "needle" not in said
        assert said.startswith(before)
        assert said.endswith("\n" + after)


@settings(max_examples=200, deadline=None)
@given(st.text(string.ascii_letters + "=:\"'[](){}\\ \n,", max_size=100))
@example("token" * 5000 + "=[" * 5000)
@example("token=[\n" * 3000)
@example("token=" * 8000)
@example("a.-_" * 20_000 + "token")
@example("token='" + "\\" * 20_000)
@example("://" * 20_000 + "a:" * 20_000)
def test_masking_twice_changes_nothing(text):
    """Any text, also one made to be hard, is masked; what is masked stays as it is."""
    once = masked(text)
    if not re.search(r"[\"'\[({\\]", text):
        assert masked(once) == once


def test_a_verdict_is_remembered_for_a_bounded_number_of_keys(monkeypatch):
    """A key that comes again costs a look-up, and very many keys do not stay for ever."""
    asked = []
    judge = masking.judge
    monkeypatch.setattr(masking, "judge", lambda key: asked.append(key) or judge(key))
    masking._verdicts.clear()
    assert [verdict("password") for _ in range(5)] == [SECRET] * 5
    assert verdict("\ud800 pwd") == SECRET | ODD
    assert len(asked) == 2
    for number in range(2 * MAX_VERDICTS):
        verdict(str(number))
    verdict("k" * 10_000)
    assert len(masking._verdicts) <= MAX_VERDICTS
    assert "k" * 10_000 not in masking._verdicts
