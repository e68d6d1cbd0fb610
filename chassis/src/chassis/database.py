"""Databases: SQLite embedded, PostgreSQL by address; the same SQLAlchemy Core on both.

Writes are durable when acknowledged (SQLite: WAL, synchronous FULL). Schema heads are read from the migrations' file
names, so that a service that is up to date never imports alembic.
"""

import asyncio
import importlib.util
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import Connection, DateTime, Dialect, MetaData, TypeDecorator, event, exc, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from chassis.errors import DatabaseUnavailable
from chassis.metrics import counter, histogram, reading

log = logging.getLogger(__name__)

POOL_SIZE = 10
# A read that got no connection is tried three times within its caller's five seconds, and then refused, not late.
POOL_TIMEOUT_SECONDS = 1.5
SQLITE_POOL_TIMEOUT_SECONDS = 3
CONNECT_TIMEOUT_SECONDS = 3
STATEMENT_TIMEOUT_SECONDS = 10
# An index of a table that has grown, or waiting for whoever migrates already.
MIGRATION_STATEMENT_SECONDS = 3_600
# A process that is stopped, or whose machine is gone, must not keep rows locked for longer than this.
IDLE_IN_TRANSACTION_SECONDS = 5
SQLITE_BUSY_TIMEOUT_MS = 4_000
# Connection, rollback by the server, resources, operator intervention, the system itself, a lock not had.
OUTAGE_SQLSTATES = frozenset({"08", "40", "53", "55", "57", "58"})
MIGRATION_LOCK = 7_201_983  # an arbitrary number, the same in every replica
TRANSACTION_SECONDS = histogram(
    "bourse_database_seconds", "How long transactions took, waiting for a connection included.", ["kind"]
)
WRITING, READING = TRANSACTION_SECONDS.labels("write"), TRANSACTION_SECONDS.labels("read")
FAILURES = counter("bourse_database_failures", "Transactions that failed because the database did not answer.")
_REVISION_FILE = re.compile(r"^(\d{4})_\w+\.py$")
_WRITES = "bourse_writes"


class SchemaBehind(RuntimeError):
    """The database's schema is older than the code, and migrating at start is switched off."""

    def __init__(self, package: str, current: str | None, head: str) -> None:
        super().__init__(
            f"the schema is at {current or 'nothing'}, {package} needs {head}: run `python -m {package} migrate`"
        )


class UtcDateTime(TypeDecorator[datetime]):
    """A column of aware moments in UTC on every database; SQLite by itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Bring a moment to UTC before it is stored."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give a stored moment its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """A pool of connections and the two ways to use one."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer: queueing here is fair and costs no busy-wait.
        self._writer = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, application_name: str = "") -> AsyncIterator["Database"]:
        """Open the database at an SQLAlchemy address, making an SQLite file's folder; close it on leaving.

        Args:
            url: the address.
            application_name: what PostgreSQL calls each of its sessions, up to 63 ASCII characters.
        """
        database = cls(_create_engine(url, application_name, STATEMENT_TIMEOUT_SECONDS))
        documentation = "Connections of the pool that are in use, and how many it may have."
        try:
            with reading("bourse_database_connections", documentation, database._connections, labels=["state"]):
                yield database
        finally:
            await database.engine.dispose()

    def _connections(self) -> dict[tuple[str, ...], float]:
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101  # what both kinds of engine are made with
        return {("in_use",): float(pool.checkedout()), ("most",): float(pool.size())}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that writes: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: the database did not answer; nothing was acknowledged.
        """
        if not self._is_sqlite:
            with WRITING.time(), _translated():
                async with self.engine.begin() as connection:
                    yield connection
            return
        with WRITING.time():
            async with self._writer:
                with _translated():
                    async with self.engine.execution_options(**{_WRITES: True}).begin() as connection:
                        yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads; on PostgreSQL each statement sees what is committed when it begins.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        with READING.time(), _translated():
            async with self.engine.connect() as connection:
                yield connection

    async def is_answering(self) -> bool:
        """Say whether a trivial query succeeds now."""
        try:
            async with self.reading() as connection:
                await connection.execute(text("SELECT 1"))
        except DatabaseUnavailable:
            return False
        return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as error:
        if not _is_outage(error):
            raise
        FAILURES.inc()
        log.warning("database unavailable", extra={"error": type(error.orig).__name__})
        raise DatabaseUnavailable from error
    except (exc.TimeoutError, OSError) as error:
        FAILURES.inc()
        log.warning("database unreachable", extra={"error": type(error).__name__})
        raise DatabaseUnavailable from error


def _is_outage(error: exc.DBAPIError) -> bool:
    """Tell a database that does not answer from one that answers no."""
    if isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError | exc.NotSupportedError):
        return False
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state[:2] in OUTAGE_SQLSTATES


def _create_engine(address: str, application_name: str, statement_seconds: int) -> AsyncEngine:
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        return _create_sqlite_engine(address, url.database)
    return create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": statement_seconds,
            "server_settings": {
                "statement_timeout": str(statement_seconds * 1000),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_SECONDS * 1000),
                "timezone": "UTC",
                "application_name": application_name,
            },
        },
        hide_parameters=True,
    )


class _SqliteConnection(aiosqlite.Connection):
    """aiosqlite's connection, whose close ends though it is stopped meanwhile.

    SQLAlchemy closes the connection of a cancelled task in a task of its own, and stops it when it is cancelled again.
    The library's close then waits for a second answer of a thread that has ended, and a process that wants to end
    waits with it. This can go when aiosqlite's `stop` may be called twice.
    """

    def stop(self) -> "asyncio.Future[None] | None":
        """End the thread; once."""
        return super().stop() if self._running else None

    async def close(self) -> None:
        """Close the file and end the thread, unless that is done."""
        if self._running:
            await super().close()


async def _connect_to_sqlite(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    connection = _SqliteConnection(partial(sqlite3.connect, *arguments, **options), iter_chunk_size=64)
    # A process that ends does not wait for it: what was acknowledged is on the disk.
    connection._thread.daemon = True  # noqa: SLF001  # SQLAlchemy does so with the connections it makes itself
    return await connection


def _create_sqlite_engine(address: str, path: str | None) -> AsyncEngine:
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = make_url(address)
    arguments, options = url.get_dialect()().create_connect_args(url)
    engine = create_async_engine(
        address,
        async_creator=partial(_connect_to_sqlite, *arguments, **options),
        pool_size=4,
        max_overflow=0,
        pool_timeout=SQLITE_POOL_TIMEOUT_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver's own transaction handling is switched off: BEGIN below is ours, so that DDL is transactional too.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: upgrading a read lock later can fail without waiting.
        mode = "IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "DEFERRED"
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def migrations_folder(package: str) -> Path:
    """Return where a service's migrations lie, without importing the service."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent / "storage" / "migrations"


def schema_head(package: str) -> str:
    """Return the newest revision by the migrations' file names, which are `NNNN_what.py` with revision `NNNN`."""
    versions = (migrations_folder(package) / "versions").iterdir()
    return max(match.group(1) for path in versions if (match := _REVISION_FILE.match(path.name)))


async def current_revision(database: Database) -> str | None:
    """Return the revision the database is at; None when it has no schema yet."""
    async with database.reading() as connection:
        exists = await connection.run_sync(lambda sync: sync.dialect.has_table(sync, "alembic_version"))
        if not exists:
            return None
        revision: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        return revision


async def ensure_schema(database: Database, package: str, *, migrate: bool = True) -> None:
    """Bring the schema up to the code's head; two processes that do so at once take turns.

    Args:
        database: the database.
        package: the service's import name, which holds `storage/migrations`.
        migrate: False refuses to start instead of migrating.

    Raises:
        SchemaBehind: the schema is behind and `migrate` is False.
    """
    head = schema_head(package)
    current = await current_revision(database)
    if current is not None and current >= head:
        return
    if not migrate:
        raise SchemaBehind(package, current, head)
    if database.engine.dialect.name == "sqlite":
        await _migrate(database, migrations_folder(package))
    else:
        address = database.engine.url.render_as_string(hide_password=False)
        patient = _create_engine(address, f"{package} migration", MIGRATION_STATEMENT_SECONDS)
        try:
            await _migrate(Database(patient), migrations_folder(package))
        finally:
            await patient.dispose()
    log.info("schema migrated", extra={"package": package, "revision": head})


async def _migrate(database: Database, folder: Path) -> None:
    async with database.transaction() as connection:
        if connection.dialect.name == "postgresql":
            # Alembic is imported in here, which can take long on a busy machine.
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        await connection.run_sync(_upgrade, folder)


def _upgrade(connection: Connection, folder: Path) -> None:
    from alembic import command  # noqa: PLC0415  # half a second that an up-to-date service need not pay
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_migrations(metadata: MetaData) -> None:
    """Run alembic's migrations on the connection `ensure_schema` opened; all that an `env.py` has to call."""
    from alembic import context  # noqa: PLC0415  # see _upgrade

    connection: Any = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
    context.run_migrations()
