"""What the command line says of words that it does not know."""

from __future__ import annotations

import pytest

from dotflow.cli.setup import Command


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        Command(words).run()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strat"], "dotflow: COMMAND: 'strat' is none of start, schedule, "),
        (["--verson"], "dotflow: unknown flag '--verson'. Did you mean '--version'?"),
        (["start"], "dotflow start: -s/--step or -w/--workflow is missing."),
        (["start", "-s"], "dotflow start: -s/--step needs a value after it."),
        (["start", "--stp", "a.b"], "dotflow start: unknown flag '--stp'. Did you mean '--step'?"),
        (["start", "-s", "a.b", "--resum=1"], "dotflow start: --resume: "),
        (["start", "-s", "a.b", "--modes=x"], "unknown flag '--modes'. Did you mean '--mode'?"),
        (["start", "-s", "a.b", "-x"], "dotflow start: unknown flag '-x'."),
        (["start", "-s", "a.b", "c"], "dotflow start: unknown word 'c'."),
        (["start", "-s", "a.b", "-m", "paralel"], "background, parallel. Did you mean 'parallel'?"),
        (["schedule", "-s", "a.b"], "dotflow schedule: --cron is missing."),
        (["schedule", "-s", "a.b", "--corn", "*"], "unknown flag '--corn'. Did you mean '--cron'?"),
        (["outbox"], "dotflow outbox: ACTION is missing."),
        (["outbox", "statsu"], "Did you mean 'status'?"),
        (["outbox", "status", "--jsn"], "status: unknown flag '--jsn'. Did you mean '--json'?"),
        (["api", "--port", "80000"], "dotflow api: --port: there is no port '80000': give"),
        (["api", "--port", "http"], "dotflow api: --port: there is no port 'http': give"),
    ],
)  # fmt: skip
def test_wrong_words(capsys, words, said):
    """Each mistake has one line, which names the nearest word; a second says where to read on."""
    err = refused(capsys, *words)
    assert said in err
    assert err.count("\n") == 2
    assert "--help` says what there is." in err
