import subprocess
import sys
from pathlib import Path

import pytest
from api_client import postgres_url
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from dotflow.api.database import describe, open_engine


@pytest.mark.parametrize(
    "url",
    [
        "",
        "records.db",
        "http://localhost/x",
        "mysql://root:hush@localhost/x",
        "postgresql+asyncpg://u:hush@localhost/x",
        "postgresql://u:hush@localhost:port/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://host/file.db",
    ],
)
def test_bad_url_names_a_good_one(url: str) -> None:
    """A URL that cannot be used is a ValueError with an example, and without the password."""
    with pytest.raises(ValueError, match=r"sqlite:///dotflow-api\.db") as caught:
        open_engine(url)
    assert "hush" not in str(caught.value)


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """The folders above a SQLite file are made."""
    open_engine(f"sqlite:///{tmp_path}/a/b/records.db").dispose()
    assert (tmp_path / "a" / "b" / "records.db").exists()


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of another kind is refused and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 100)
    with pytest.raises(ValueError, match="not a database"):
        open_engine(f"sqlite:///{path}")
    assert path.read_text() == "not a database" * 100


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A path through a file cannot be a database."""
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot use"):
        open_engine(f"sqlite:///{tmp_path}/file/records.db")


def test_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg the error says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"pip install 'dotflow\[postgres\]'"):
        open_engine("postgresql://localhost/x")


def test_postgres_that_does_not_answer_is_a_connection_error() -> None:
    """A server that is not there is named, with its password masked."""
    with pytest.raises(ConnectionError, match=r"dotflow:\*\*\*@127.0.0.1:1/") as caught:
        open_engine("postgresql://dotflow:hush@127.0.0.1:1/x")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_postgres_url_takes_psycopg(scheme: str) -> None:
    """The usual URLs of PostgreSQL all lead to the one driver."""
    url = make_url(postgres_url()).set(drivername=scheme)
    engine = open_engine(url.render_as_string(hide_password=False))
    assert engine.driver == "psycopg"
    engine.dispose()


def test_passwords_are_masked() -> None:
    """What is shown of a URL has no password."""
    assert describe("postgres://u:hush@h/d") == "postgresql+psycopg://u:***@h/d"


def test_sqlite_is_set_up_for_writers(sqlite_url: str) -> None:
    """Readers go on while one writes, a writer waits for its turn, references hold."""
    engine = open_engine(sqlite_url)
    with engine.connect() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        values = [connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]
    engine.dispose()
    assert values == ["wal", 1, 1, 30_000]


def test_servers_may_start_at_once(database: str, tmp_path: Path) -> None:
    """Several processes that create the tables at the same moment all succeed."""
    url = f"sqlite:///{tmp_path}/new.db" if database.startswith("sqlite") else database
    code = f"from dotflow.api.database import open_engine; open_engine({url!r}).dispose()"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(30) for process in started] == [0] * 4


def test_engine_hides_parameters(sqlite_url: str) -> None:
    """What a statement carried is in no error message."""
    engine = open_engine(sqlite_url)
    query = text("SELECT * FROM nowhere WHERE x = :x")
    with engine.connect() as connection, pytest.raises(OperationalError, match="nowhere") as caught:
        connection.execute(query, {"x": "hush"})
    engine.dispose()
    assert "hush" not in str(caught.value)
