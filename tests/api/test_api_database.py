import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from api_client import postgres_url
from sqlalchemy import create_engine, inspect, make_url, select, text
from sqlalchemy.exc import OperationalError

from dotflow.api.database import describe, open_engine
from dotflow.api.envelope import Envelope
from dotflow.api.reading import Reading, RunFilter
from dotflow.api.server import ApiServer
from dotflow.api.store import Store
from dotflow.api.tables import tasks, workflows

# The tables as the version before made them.
EARLIER = r"""
CREATE TABLE workflows (id VARCHAR(255) NOT NULL PRIMARY KEY, name TEXT, mode TEXT,
    status VARCHAR(32) NOT NULL, trace_id VARCHAR(32), duration DOUBLE PRECISION,
    tasks TEXT DEFAULT '[]' NOT NULL, created_at {moment} NOT NULL, updated_at {moment} NOT NULL);
CREATE TABLE tasks (id {number} PRIMARY KEY,
    workflow_id VARCHAR(255) NOT NULL REFERENCES workflows (id), task_id BIGINT NOT NULL,
    name TEXT NOT NULL, group_name TEXT NOT NULL, status VARCHAR(32) NOT NULL,
    duration DOUBLE PRECISION, retry_count BIGINT DEFAULT '0' NOT NULL,
    errors TEXT DEFAULT '[]' NOT NULL, initial_context TEXT, current_context TEXT,
    previous_context TEXT, created_at {moment} NOT NULL, updated_at {moment} NOT NULL,
    UNIQUE (workflow_id, task_id));
CREATE TABLE idempotency_keys (key VARCHAR(255) NOT NULL PRIMARY KEY, target TEXT NOT NULL,
    applied_at {moment} NOT NULL);
CREATE INDEX workflows_by_age ON workflows (created_at, id);
INSERT INTO workflows (id, status, tasks, created_at, updated_at)
    VALUES ('old', 'In progress', '[{{"id"\:1,"name"\:"step","group_name"\:"default"}}]',
    '2026-01-01 00:00:00', '2026-01-01 00:00:00');
INSERT INTO tasks (workflow_id, task_id, name, group_name, status, errors, created_at, updated_at)
    VALUES ('old', 1, 'step', 'default', 'In progress',
    '[{{"attempt"\:1,"exception"\:"KeyError","message"\:"no such","traceback"\:""}}]',
    '2026-01-01 00:00:00', '2026-01-01 00:00:00')
"""


@pytest.fixture
def earlier(database: str, tmp_path: Path) -> Iterator[str]:
    """Gives the URL of a database that the version before has written."""
    if database.startswith("sqlite"):
        yield _fill(f"sqlite:///{tmp_path}/earlier.db", "TIMESTAMP", "INTEGER")
        return
    schema = f"earlier_{uuid4().hex}"
    url = make_url(database).set(drivername="postgresql+psycopg")
    outside = create_engine(url)
    with outside.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    own = url.update_query_dict({"options": f"-csearch_path={schema}"})
    shown = own.render_as_string(hide_password=False)
    yield _fill(shown, "TIMESTAMP WITH TIME ZONE", "BIGSERIAL")
    with outside.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    outside.dispose()


def _fill(url: str, moment: str, number: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in EARLIER.format(moment=moment, number=number).split(";"):
            connection.execute(text(statement))
    engine.dispose()
    return url


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


@pytest.mark.parametrize("path", ["/dotflow-of-nobody/x.db", "/dotflow-of-nobody/deep/x.db"])
def test_no_folder_is_made_at_the_root(path: str) -> None:
    """A slash too many makes no folder at the root of the disk: the error says what to do."""
    with pytest.raises(ValueError, match=r"mkdir /dotflow-of-nobody.*three slashes"):
        open_engine(f"sqlite:///{path}")
    assert not Path("/dotflow-of-nobody").exists()


def test_a_new_file_is_private(tmp_path: Path) -> None:
    """Nobody else reads the records, nor what SQLite keeps beside them; a file keeps its mode."""
    made, given = tmp_path / "made.db", tmp_path / "given.db"
    given.touch()
    given.chmod(0o640)
    for file in (made, given):
        engine = open_engine(f"sqlite:///{file}")
        with engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM workflows"))
            modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.glob(f"{file.name}*")}
        engine.dispose()
        assert len(modes) > 1
        assert set(modes.values()) == {0o600 if file == made else 0o640}


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


@pytest.mark.slow
def test_servers_may_start_at_once(database: str, tmp_path: Path) -> None:
    """Several processes that create the tables at the same moment all succeed."""
    url = f"sqlite:///{tmp_path}/new.db" if database.startswith("sqlite") else database
    code = f"from dotflow.api.database import open_engine; open_engine({url!r}).dispose()"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0] * 4


def test_engine_hides_parameters(sqlite_url: str) -> None:
    """What a statement carried is in no error message."""
    engine = open_engine(sqlite_url)
    query = text("SELECT * FROM nowhere WHERE x = :x")
    with engine.connect() as connection, pytest.raises(OperationalError, match="nowhere") as caught:
        connection.execute(query, {"x": "hush"})
    engine.dispose()
    assert "hush" not in str(caught.value)


def test_database_of_the_version_before_is_taken_over(earlier: str) -> None:
    """What is new is added once, and says of old records what it says of new ones."""
    for _ in range(2):
        engine = open_engine(earlier)
        with engine.connect() as connection:
            for table in (workflows, tasks):
                columns = [column["name"] for column in inspect(engine).get_columns(table.name)]
                assert columns.count("opened_by") == 1
                assert connection.execute(select(table.c.opened_by)).scalars().all() == [None]
        engine.dispose()
    store = Store(open_engine(earlier))
    with store.writing() as writing:
        server_id = writing.server_id("old", 1)
        writing.change_task(server_id, {"status": "Failed"}, Envelope(run="a"))
        writing.change_workflow("old", {"status": "In progress"}, Envelope(opens="b"))
        writing.change_workflow("old", {"status": "Failed"}, Envelope(run="a"))
    reading = Reading(store._engine)
    run = reading.run("old")
    assert (run.status, run.planned, run.opened) == ("In progress", 1, 2)
    (task,) = reading.tasks("old").items
    assert (task.status, task.error_count, task.last_error) == ("Failed", 1, "KeyError")
    assert [one.id for one in reading.runs(RunFilter(text="no such")).items] == ["old"]
    store.close()


@pytest.mark.slow
def test_servers_may_take_over_at_once(earlier: str) -> None:
    """Several processes that add the column at the same moment all succeed."""
    code = f"from dotflow.api.database import open_engine; open_engine({earlier!r}).dispose()"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(120) for process in started] == [0] * 4


@pytest.mark.parametrize("url", ["sqlite:///a.db", "sqlite:///d/b.db", "sqlite:///file:c.db?uri=1"])
def test_a_relative_file_is_that_of_the_moment_when_it_was_given(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its folder goes on with the database that it has opened."""
    (tmp_path / "elsewhere").mkdir()
    engine = open_engine(url)
    server = ApiServer(url)
    monkeypatch.chdir("elsewhere")
    with engine.connect() as connection:
        assert connection.execute(select(workflows)).all() == []
    engine.dispose()
    with server:
        pass
    assert list(Path().iterdir()) == []
    assert str(tmp_path) in describe(server._database)
