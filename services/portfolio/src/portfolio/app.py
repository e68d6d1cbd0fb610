"""Portfolio's composition root: what is opened, in which order, and what health is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis.database import Database, ensure_schema
from chassis.health import Health
from chassis.rpc_server import serving
from portfolio.settings import Settings


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[None]:
    """Open portfolio and serve until the block is left; then close in reverse order.

    Raises:
        DatabaseUnavailable: the database did not answer at start.
        SchemaBehind: the schema is old and migrating at start is switched off.
        AddressInUse: the address to listen on is taken.
    """
    health = Health()
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "portfolio", migrate=settings.portfolio_migrate_on_start)
        health.add("database", database.is_answering)
        async with serving(settings.portfolio_address, [], health=health, settings=settings):
            yield


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date.

    Raises:
        DatabaseUnavailable: the database did not answer.
    """
    async with Database.open(settings.database_url) as database:
        await ensure_schema(database, "portfolio")
