import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, exc, func, insert, select, text

from chassis.database import Database, SchemaBehind, UtcDateTime, current_revision, ensure_schema, schema_head
from chassis.errors import DatabaseUnavailable
from chassis.testing import PostgresServer, free_port

METADATA = MetaData()
NUMBERS = Table("numbers", METADATA, Column("number", Integer, primary_key=True))

ENV = "from chassis.database import run_migrations\nfrom sqlalchemy import MetaData\n\nrun_migrations(MetaData())\n"
FIRST = """
from alembic import op
import sqlalchemy as sa

revision = "0001"
down_revision = None


def upgrade():
    op.create_table("numbers", sa.Column("number", sa.Integer, primary_key=True))
"""
SECOND = """
from alembic import op
import sqlalchemy as sa

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("numbers", sa.Column("note", sa.String(10)))
    {then}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "demo_service"
    versions = folder / "storage" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (versions.parent / "env.py").write_text(ENV)
    (versions / "0001_numbers.py").write_text(FIRST)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("demo_service", None)


async def test_a_database_is_brought_to_the_head_once(database_url: str, package: Path) -> None:
    async with Database.open(database_url) as database:
        assert await current_revision(database) is None
        await ensure_schema(database, "demo_service")
        await ensure_schema(database, "demo_service")
        assert await current_revision(database) == schema_head("demo_service") == "0001"


async def test_a_service_told_not_to_migrate_refuses_an_old_schema(database_url: str, package: Path) -> None:
    async with Database.open(database_url) as database:
        with pytest.raises(SchemaBehind):
            await ensure_schema(database, "demo_service", migrate=False)


async def test_a_failing_migration_leaves_nothing_behind(database_url: str, package: Path) -> None:
    versions = package / "storage" / "migrations" / "versions"
    async with Database.open(database_url) as database:
        await ensure_schema(database, "demo_service")
        (versions / "0002_broken.py").write_text(SECOND.format(then="raise ValueError('broken')"))
        with pytest.raises(ValueError, match="broken"):
            await ensure_schema(database, "demo_service")
        (versions / "0002_broken.py").write_text(SECOND.format(then=""))
        await ensure_schema(database, "demo_service")
        assert await current_revision(database) == "0002"


async def test_a_migration_may_take_longer_than_a_statement_of_a_request(
    database_url: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.database.STATEMENT_TIMEOUT_SECONDS", 1)
    async with Database.open(database_url) as database:
        waits = 'op.execute("SELECT pg_sleep(1.5)") if op.get_bind().dialect.name == "postgresql" else None'
        (package / "storage" / "migrations" / "versions" / "0002_slow.py").write_text(SECOND.format(then=waits))
        await ensure_schema(database, "demo_service")
        assert await current_revision(database) == "0002"


async def test_a_transaction_that_raises_changes_nothing(database_url: str, package: Path) -> None:
    async with Database.open(database_url) as database:
        await ensure_schema(database, "demo_service")

        async def insert_and_fail() -> None:
            async with database.transaction() as connection:
                await connection.execute(insert(NUMBERS), [{"number": 1}])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await insert_and_fail()
        async with database.reading() as connection:
            assert (await connection.execute(select(func.count()).select_from(NUMBERS))).scalar_one() == 0


async def test_a_transaction_that_is_cancelled_twice_leaves_nothing_that_waits_for_ever(tmp_path: Path) -> None:
    slow = text(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000000) SELECT max(x) FROM n"
    )
    async with Database.open(f"sqlite+aiosqlite:///{tmp_path / 'test.sqlite3'}") as database:

        async def count() -> None:
            async with database.transaction() as connection:
                await connection.execute(slow)

        before = asyncio.all_tasks()
        for after_first, after_second in ((0.05, 0.05), (0.05, 0), (0, 0.05), (0, 0)):
            task = asyncio.create_task(count())
            for wait in (after_first, after_second):
                await asyncio.sleep(wait)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(10):
            while asyncio.all_tasks() - before:
                await asyncio.sleep(0.01)
        assert await database.is_answering()


async def test_text_a_database_refuses_is_not_taken_for_an_outage(postgres: PostgresServer) -> None:
    async with Database.open(postgres.create_database()) as database, database.reading() as connection:
        with pytest.raises(exc.DBAPIError, match="0x00"):
            await connection.execute(text("SELECT :name"), {"name": "a\x00b"})


async def test_sessions_bear_the_name_of_their_application(postgres: PostgresServer) -> None:
    url = postgres.create_database()
    async with Database.open(url, application_name="replica-7") as database, database.reading() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar_one() == "replica-7"


async def test_moments_come_back_in_utc(database_url: str) -> None:
    moments = Table("moments", MetaData(), Column("at", UtcDateTime, primary_key=True))
    kolkata = timezone(timedelta(hours=5, minutes=30))
    async with Database.open(database_url) as database, database.transaction() as connection:
        await connection.run_sync(moments.create)
        await connection.execute(insert(moments), [{"at": datetime(2026, 11, 20, 9, 15, tzinfo=kolkata)}])
        stored = (await connection.execute(select(moments.c.at))).scalar_one()
    assert stored == datetime(2026, 11, 20, 3, 45, tzinfo=UTC)
    assert stored.tzinfo is UTC


async def test_a_database_that_is_away_is_one_clear_error() -> None:
    async with Database.open(f"postgresql+asyncpg://postgres@127.0.0.1:{free_port()}/none") as database:
        assert not await database.is_answering()
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction():
                pass
