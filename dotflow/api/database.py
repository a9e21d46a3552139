"""Opens the database: which URLs are taken, how each kind is set up."""

import contextlib
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, InvalidatePoolError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.schema import CreateIndex, CreateTable

from dotflow.api.earlier import bring_up_to_date
from dotflow.api.tables import INDEXES, metadata

EXAMPLES = "give sqlite:///dotflow-api.db or postgresql://USER:PASSWORD@HOST/DATABASE"
# Options of a connection: that it will write, and how long it waits for a lock if not as ever.
WRITES = "dotflow_writes"
LOCK_WAIT_MS = "dotflow_lock_wait_ms"

_POSTGRES = "postgresql+psycopg"
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": _POSTGRES,
    "postgresql": _POSTGRES,
    _POSTGRES: _POSTGRES,
}
CONNECTIONS = 42
"""As many as a process has threads for requests, and two of its own: none waits for one in vain."""

_RESTS = "dotflow_rests"
_REST_SECONDS = 5.0
"""What was used so lately is taken to be alive: if it is not, the call is answered 503."""

_LASTING = 10  # connections that stay open while nothing needs them
_BUSY_SECONDS = 30
_PRIVATE = 0o600
# Any constant does, as long as every dotflow-api takes the same one.
_CREATION_LOCK = 0x646F74666C6F77


def open_engine(
    database_url: str, *, is_prepared: bool = False, connections: int = CONNECTIONS
) -> Engine:
    """Gives an engine on a database that has the tables.

    Args:
        database_url: ``sqlite:///FILE`` (missing folders are made, but none at the root
            of the disk; a relative one is that of now, wherever the program goes) or ``postgresql://...``.
        is_prepared: Whether the tables are known to be up to date.
        connections: How many it has at once.

    Raises:
        ValueError: The URL is none that dotflow-api can use; the message names one that is.
        ImportError: The driver is not installed; the message names the extra.
        ConnectionError: The PostgreSQL server does not answer, or does not let us in.
    """
    url = _checked(database_url)
    lasting = min(_LASTING, connections)
    pool = {"pool_size": lasting, "max_overflow": connections - lasting}
    make = _sqlite if url.get_backend_name() == "sqlite" else _postgres
    engine = make(url, **pool)
    if is_prepared:
        return engine
    try:
        _create_tables(engine)
    except DatabaseError as error:
        _explain(url, error)
    finally:
        # No connection is held before the first request, nor after a failure.
        engine.dispose()
    return engine


def absolute(database_url: str) -> str:
    """The URL with the whole path of its file, if it has one; what is no URL is left as it is."""
    try:
        return _checked(database_url).render_as_string(hide_password=False)
    except ValueError:
        return database_url


def describe(database_url: str) -> str:
    """Names the database with its password masked.

    Args:
        database_url: A URL that `open_engine` takes.
    """
    return _checked(database_url).render_as_string(hide_password=True)


def can_be_shared(database_url: str) -> bool:
    """Says if several processes can write to it at once, as SQLite's cannot.

    Args:
        database_url: A URL that `open_engine` takes.

    Raises:
        ValueError: It is none.
    """
    return _checked(database_url).get_backend_name() != "sqlite"


def _checked(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # Not chained: the original may quote the URL, and with it the password.
        raise ValueError(f"the database URL cannot be read: {EXAMPLES}") from None
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError(f"no support for {url.drivername!r} databases: {EXAMPLES}")
    if driver == "sqlite" and (url.database or ":memory:") == ":memory:":
        raise ValueError(f"a database in memory is not shared by threads: {EXAMPLES}")
    url = url.set(drivername=driver)
    return _absolute(url) if driver == "sqlite" else url


def _absolute(url: URL) -> URL:
    """The URL with the whole path of its file: the program may change its folder."""
    database = url.database or ""
    mark = "file:" if database.startswith("file:") else ""
    path = database.removeprefix(mark)
    if path.startswith(("/", ":")):
        return url
    return url.set(database=f"{mark}{Path(path).absolute()}")


def _sqlite(url: URL, **pool: int) -> Engine:
    database = url.database or ""
    try:
        if not database.startswith("file:"):
            _make_folder(Path(database).parent)
            _make_file(database)
        # No isolation level: the driver opens no transactions of its own, _begin does.
        arguments = {"isolation_level": None, "timeout": _BUSY_SECONDS}
        engine = create_engine(url, connect_args=arguments, hide_parameters=True, **pool)
    except (OSError, ArgumentError) as error:
        raise ValueError(f"cannot use {database!r} as a database: {error}; {EXAMPLES}") from error
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _make_folder(folder: Path) -> None:
    missing = next((one for one in reversed((folder, *folder.parents)) if not one.exists()), None)
    if missing is not None and missing.parent == missing.parent.parent:
        raise ValueError(
            f"there is no folder {missing}, and none is made at the root of the disk: make it "
            f"(mkdir {missing}), or name a file below the current folder, with three slashes; "
            f"{EXAMPLES}"
        )
    folder.mkdir(parents=True, exist_ok=True)


def _make_file(path: str) -> None:
    """Make the file of a new database private: it holds what steps gave and got."""
    # What cannot be made SQLite explains itself. A file that is there keeps its mode, and is not
    # opened: to close it would end the locks that others of this process have on it.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))


def _postgres(url: URL, **pool: int) -> Engine:
    try:
        engine = create_engine(url, hide_parameters=True, **pool)
    except ImportError as error:
        raise ImportError(
            "PostgreSQL needs the driver psycopg: pip install 'dotflow[postgres]'", name="psycopg"
        ) from error
    event.listen(engine, "begin", _limit_lock_wait)
    event.listen(engine, "checkin", _note_rest)
    event.listen(engine, "checkout", partial(_try_after_rest, engine.dialect))
    return engine


def _note_rest(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_RESTS] = time.monotonic()


def _try_after_rest(
    dialect: Dialect, connection: Any, record: ConnectionPoolEntry, _proxy: object
) -> None:
    """Has another connection made where one has ended while it was not used.

    To try each one each time, as SQLAlchemy can, costs a tenth of what a short call does.
    """
    rests_since = record.info.get(_RESTS)
    if rests_since is None or time.monotonic() - rests_since < _REST_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise InvalidatePoolError from error


def _set_pragmas(connection: Any, _record: object) -> None:
    # synchronous=NORMAL with WAL: a crash of the process loses nothing, a power cut may lose the
    # last moments, never the file.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    # SQLite's own knows the letters of English alone; searches are for everybody.
    connection.create_function("lower", 1, _lower, deterministic=True)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: one that upgrades later can fail where it cannot wait.
    options = connection.get_execution_options()
    wait = options.get(LOCK_WAIT_MS)
    if wait is not None:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={wait:d}")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(WRITES) else "BEGIN")
    finally:
        if wait is not None:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")


def _limit_lock_wait(connection: Connection) -> None:
    wait = connection.get_execution_options().get(LOCK_WAIT_MS)
    if wait is not None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait:d}")


def _create_tables(engine: Engine) -> None:
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        if connection.dialect.name == "postgresql":
            # Two servers that start at once would both find the tables missing.
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _CREATION_LOCK})
        # Tables first: an index may want a column that an earlier version's table has not yet.
        for table in metadata.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
        bring_up_to_date(connection)
        for index in INDEXES:
            connection.execute(CreateIndex(index, if_not_exists=True))


def _explain(url: URL, error: DatabaseError) -> None:
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        raise ValueError(f"cannot use {shown} as a database: {error.orig}; {EXAMPLES}") from error
    if isinstance(error, OperationalError):
        raise ConnectionError(
            f"no connection to {shown}: {error.orig}; start PostgreSQL or mend the URL"
        ) from error
    raise error
