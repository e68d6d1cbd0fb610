import pytest
from sqlalchemy import Connection, inspect

from chassis.database import Database, SchemaBehind, ensure_schema
from portfolio.app import build, migrate
from portfolio.settings import Settings
from portfolio.storage.tables import METADATA

Columns = dict[str, tuple[str, bool]]


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PORTFOLIO_DATABASE_URL", database_url)
    return Settings()


def columns_of(connection: Connection) -> dict[str, Columns]:
    inspector = inspect(connection)
    return {
        table: {column["name"]: (str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


async def test_the_migrations_make_the_tables_the_code_declares(settings: Settings) -> None:
    await migrate(settings)
    async with Database.open(settings.database_url) as database, database.transaction() as connection:
        migrated = await connection.run_sync(columns_of)
        await connection.run_sync(METADATA.drop_all)
        await connection.run_sync(METADATA.create_all)
        assert migrated == await connection.run_sync(columns_of)


async def test_migrating_twice_changes_nothing(settings: Settings) -> None:
    await migrate(settings)
    await migrate(settings)


async def test_told_not_to_migrate_it_refuses_an_empty_database(settings: Settings) -> None:
    held_back = settings.model_copy(update={"portfolio_migrate_on_start": False})
    with pytest.raises(SchemaBehind, match="python -m portfolio migrate"):
        async with build(held_back):
            pytest.fail("it started")


async def test_told_not_to_migrate_it_starts_on_a_current_schema(settings: Settings) -> None:
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "portfolio")
    held_back = settings.model_copy(update={"portfolio_migrate_on_start": False, "portfolio_address": "127.0.0.1:0"})
    async with build(held_back):
        pass
