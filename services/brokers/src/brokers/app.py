"""Brokers' composition root: what is opened, in which order, and what health is made of."""

import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

import grpc
from bourse.brokers.v1.syncs_pb2_grpc import add_SyncServiceServicer_to_server
from bourse.market.v1.calendars_pb2_grpc import CalendarServiceStub
from bourse.portfolio.v1.syncs_pb2_grpc import SyncedPortfolioServiceStub
from grpc_health.v1 import health_pb2_grpc

from bourse.market.v1 import calendars_pb2, instruments_pb2
from bourse.portfolio.v1 import syncs_pb2
from brokers.domain.brokers import Broker
from brokers.domain.lanes import Lanes
from brokers.domain.ports import PortfolioReader
from brokers.domain.sessions import SessionBook
from brokers.domain.sync_desk import SyncDesk
from brokers.feed.kite_ticker import KiteTicker, TickerOptions
from brokers.feed.market_hours import MarketHours
from brokers.feed.publisher import TickPublisher
from brokers.figures import telling_of_children, telling_of_syncs, telling_of_ticks
from brokers.handlers.syncs import SyncService
from brokers.providers.breeze.security_master import SecurityMaster
from brokers.providers.children.nursery import Nursery
from brokers.providers.portfolio import PortfolioRows
from brokers.providers.portfolio_readers import BreezeReader, KiteReader, PortfolioJobs
from brokers.providers.roots import VendorRoots
from brokers.server_sessions import server_sessions
from brokers.settings import Settings
from chassis.bus import EVENTS, TICKS, Bus
from chassis.clock import Clock, SystemClock
from chassis.health import Health
from chassis.rpc_client import open_channel
from chassis.rpc_server import Register, serving
from chassis.tasks import running

# The service's own jobs (of each broker a session, prices and a list) never wait for syncs, nor syncs for them.
OWN_CHILDREN = 6
# Callers set deadlines of their own; this is when a call ends whose caller set none.
LONGEST_CALL_SECONDS = 120.0


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[None]:
    """Open brokers and serve until the block is left.

    Raises:
        AddressInUse: the address to listen on is taken.
    """
    clock = SystemClock()
    health = Health()
    roots = VendorRoots(settings.kite_root_url, settings.breeze_root_url, settings.brokers_sandbox_url)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        nursery = await enter(Nursery.open(settings.run_dir, at_most=settings.brokers_children + OWN_CHILDREN))
        stack.enter_context(telling_of_children(nursery))
        # Sessions are told and kept without children, so that a broken SDK does not take the service out.
        health.add("children", nursery.is_ready, critical=False)
        master = SecurityMaster(nursery, clock)
        stack.push_async_callback(master.finish)
        desk = await enter(_sync_desk(settings, nursery, roots, master=master, clock=clock))
        syncs = SyncService(desk, has_sandbox=roots.sandbox is not None)
        bus = await enter(Bus.open(settings, name="brokers", streams=[EVENTS, TICKS]))
        health.add("nats", bus.is_answering, critical=False)
        market = open_channel(
            settings.market_address, [calendars_pb2.DESCRIPTOR, instruments_pb2.DESCRIPTOR], settings=settings
        )
        stack.push_async_callback(market.close)
        book = SessionBook(clock)
        ticker = await enter(_ticker(settings, bus, market, book=book, clock=clock))
        health.add("kite_feed", ticker.is_well, critical=False)
        sessions = await enter(
            server_sessions(
                settings,
                nursery=nursery,
                roots=roots,
                directories=master,
                bus=bus,
                market=market,
                book=book,
                feed=ticker,
                clock=clock,
            )
        )
        registrations: list[Register] = [partial(add_SyncServiceServicer_to_server, syncs), *sessions]
        await enter(serving(settings.brokers_address, registrations, health=health, settings=_patient(settings)))
        yield


@asynccontextmanager
async def _sync_desk(
    settings: Settings, nursery: Nursery, roots: VendorRoots, *, master: SecurityMaster, clock: Clock
) -> AsyncIterator[SyncDesk]:
    channel = open_channel(settings.portfolio_address, [syncs_pb2.DESCRIPTOR], settings=settings)
    stub = SyncedPortfolioServiceStub(channel)
    store = PortfolioRows(stub, health_pb2_grpc.HealthStub(channel), clock=clock, jitter=random.random)
    jobs = PortfolioJobs(nursery, roots, deadline_seconds=settings.brokers_sync_seconds)
    readers: dict[Broker, PortfolioReader] = {
        Broker.ZERODHA: KiteReader(jobs),
        Broker.ICICI: BreezeReader(jobs, master),
    }
    lanes = Lanes(at_most=settings.brokers_children, queue_at_most=settings.brokers_sync_queue)
    desk = SyncDesk(readers, store, lanes=lanes, clock=clock, new_id=lambda: str(uuid.uuid4()))
    try:
        with telling_of_syncs(desk, lanes):
            yield desk
    finally:
        await channel.close()


@asynccontextmanager
async def _ticker(
    settings: Settings, bus: Bus, market: grpc.aio.Channel, *, book: SessionBook, clock: Clock
) -> AsyncIterator[KiteTicker]:
    publisher = TickPublisher(bus, clock, publisher_id=settings.brokers_publisher_id)
    hours = MarketHours(CalendarServiceStub(market), clock)
    options = TickerOptions(settings.kite_ticker_url, stale_after=timedelta(seconds=settings.kite_ticker_stale_seconds))
    ticker = KiteTicker(publisher, hours=hours.known, refuse=book.refuse, clock=clock, options=options)
    async with running(publisher.run(), hours.run()):
        try:
            with telling_of_ticks(ticker, publisher, clock=clock):
                yield ticker
        finally:
            await ticker.stop()


def _patient(settings: Settings) -> Settings:
    """Return the settings of a server whose calls may wait in a queue and for a broker."""
    return settings.model_copy(update={"rpc_deadline_seconds": LONGEST_CALL_SECONDS / 2})
