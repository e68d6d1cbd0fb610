"""Brokers' composition root: what is opened, in which order, and what health is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from brokers.settings import Settings
from chassis.health import Health
from chassis.rpc_server import serving


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[None]:
    """Open brokers and serve until the block is left.

    Raises:
        AddressInUse: the address to listen on is taken.
    """
    async with serving(settings.brokers_address, [], health=Health(), settings=settings):
        yield
