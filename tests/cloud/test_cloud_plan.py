"""A plan says what every platform takes, and refuses the rest with the remedy."""

from __future__ import annotations

import pytest

from dotflow.cloud.plan import Plan, PlanError, five_fields, label_of


def plan(**said):
    return Plan(**{"workflow": "etl:pipeline", "name": "etl", "image": "etl:1"} | said)


def test_variables_and_secrets():
    """An address that was not given, and the token always, are the secret's to have."""
    bare = plan()
    assert bare.secret_variables == ("SERVER_USER_TOKEN", "SERVER_BASE_URL")
    assert bare.optional_secrets == ()
    told = plan(
        api_url="https://api.example.com", workflow_id="w1", otlp_endpoint="http://c:4318",
        environment={"OTEL_SERVICE_NAME": "mine", "B": "2"}, secrets=("DB_PASSWORD",), grace=60,
    )  # fmt: skip
    assert told.secret_variables == ("SERVER_USER_TOKEN", "DB_PASSWORD")
    assert told.optional_secrets == ("OTEL_EXPORTER_OTLP_HEADERS",)
    assert told.variables == {
        "SERVER_BASE_URL": "https://api.example.com", "WORKFLOW_ID": "w1", "DOTFLOW_SERVER": "otel",
        "DOTFLOW_STATE_DIR": "/var/lib/dotflow/state", "B": "2", "OTEL_SERVICE_NAME": "mine",
        "DOTFLOW_OUTPUT_PATH": "/var/lib/dotflow/results", "DOTFLOW_FLUSH_TIMEOUT": "40",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"workflow": "etl"}, "write 'module:name'"),
        ({"workflow": "etl:a; rm -rf /"}, "write 'module:name'"),
        ({"name": "My ETL"}, "as 'my-etl'"),
        ({"image": "a b"}, "as 'registry.example.com/etl:1'"),
        ({"mode": "background"}, "none of sequential, sequential_group, parallel"),
        ({"schedule": "* * * *"}, "give five fields"),
        ({"schedule": "61 * * * *"}, "61 * * * *"),
        ({"schedule": "0 0 30 2 *"}, "0 0 30 2 *"),
        ({"grace": 0}, "more than 0"),
        ({"workflow_id": ""}, "1 to 255 characters"),
        ({"api_url": "api.example.com"}, "http://... or https://..."),
        ({"api_url": "https://ada:geheim@example.com"}, "leave it out"),
        ({"api_url": "http://localhost:8000"}, "which can be reached from there"),
        ({"folder": "a\nb"}, "cannot be printed"),
        ({"environment": {"A-B": "1"}}, "letters, digits and '_'"),
        ({"environment": {"DB_PASSWORD": "geheim"}}, "'--secret-env DB_PASSWORD'"),
        ({"environment": {"DB": "postgres://ada:geheim@db/x"}}, "'--secret-env DB'"),
        ({"environment": {"SERVER_USER_TOKEN": "geheim"}}, "'--secret-env SERVER_USER_TOKEN'"),
        ({"environment": {"A": "\0"}}, "NUL"),
    ],
)
def test_refused(said, words):
    """What no platform takes, and what would be a secret in a file, is refused with the remedy."""
    with pytest.raises(PlanError) as caught:
        plan(**said)
    assert words in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_processes():
    """A parallel run takes no more processes than its share of a machine."""
    assert "DOTFLOW_MAX_PROCESSES" not in plan().variables
    wide = plan(mode="parallel", cpu=5.5).variables
    assert wide["DOTFLOW_MAX_PROCESSES"] == "6"


def test_names():
    """Any import string has a name that every platform takes."""
    assert label_of("my_etl.daily:make_Pipeline") == "my-etl-daily-make-pipeline"
    for odd in ("_:_", "1:2", "ü:é", "a" * 80 + ":b", f"{'a' * 51}:b"):
        plan(name=label_of(odd))


def test_words_of_schedules():
    """The words that cron has for common times are five fields everywhere."""
    assert five_fields(" @daily ") == "0 0 * * *"
    assert five_fields("0  3 * * mon-fri") == "0 3 * * mon-fri"
