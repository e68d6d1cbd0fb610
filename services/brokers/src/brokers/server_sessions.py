"""The part of the composition root that the server-wide sessions, their quotes and their feed are made of."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
from bourse.brokers.v1.quotes_pb2_grpc import add_BrokerQuoteServiceServicer_to_server
from bourse.brokers.v1.sessions_pb2_grpc import add_SessionServiceServicer_to_server
from bourse.market.v1.instruments_pb2_grpc import InstrumentServiceStub
from pydantic import SecretStr

from brokers.domain.announcer import Announcer
from brokers.domain.brokers import Broker
from brokers.domain.feeding import Feeding
from brokers.domain.ports import QuoteVendor, ZerodhaFeed
from brokers.domain.quote_desk import BrokerDesk, QuoteDesk
from brokers.domain.secrets import Secret
from brokers.domain.session_desk import BrokerConfiguration, SessionDesk
from brokers.domain.session_keeper import SessionKeeper
from brokers.domain.sessions import SessionBook
from brokers.figures import telling_of_sessions
from brokers.handlers.quotes import BrokerQuoteService
from brokers.handlers.sessions import SessionService
from brokers.providers.breeze.prices import BreezePrices, Directories
from brokers.providers.budgets import SharedBudget
from brokers.providers.children.nursery import Nursery
from brokers.providers.counted_budget import CountedBudget
from brokers.providers.kite.prices import KitePrices
from brokers.providers.market import MarketListings
from brokers.providers.openers import ChildOpener
from brokers.providers.roots import VendorRoots
from brokers.providers.session_events import BusSessionEvents
from brokers.settings import Settings
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.rpc_server import Register
from chassis.tasks import running


@asynccontextmanager
async def server_sessions(
    settings: Settings,
    *,
    nursery: Nursery,
    roots: VendorRoots,
    directories: Directories,
    bus: Bus,
    market: grpc.aio.Channel,
    book: SessionBook,
    feed: ZerodhaFeed,
    clock: Clock,
) -> AsyncIterator[Sequence[Register]]:
    """Keep sessions, price by them and feed from them until the block is left; yield the services to register.

    Args:
        settings: the operators' secrets, keys and limits.
        nursery: runs what is asked of the brokers.
        roots: where the brokers are.
        directories: keeps ICICI's list of securities.
        bus: where events go.
        market: the channel to market.
        book: keeps the sessions; shared with the feed.
        feed: Zerodha's live prices.
        clock: tells the time.
    """
    kite = KitePrices(nursery, roots)
    vendors: dict[Broker, QuoteVendor] = {Broker.ZERODHA: kite, Broker.ICICI: BreezePrices(nursery, roots, directories)}
    async with AsyncExitStack() as stack:
        announcer = Announcer(BusSessionEvents(bus), clock)
        await stack.enter_async_context(running(announcer.run()))
        keeper = SessionKeeper(book, announcer, clock)
        stack.push_async_callback(keeper.finish)
        feeding = Feeding(
            feed,
            MarketListings(InstrumentServiceStub(market)),
            kite,
            book=book,
            clock=clock,
            max_instruments=settings.kite_ticker_max_instruments,
        )
        stack.push_async_callback(feeding.finish)
        desk = SessionDesk(book, ChildOpener(nursery, roots), _configuration(settings), feeding=feeding, clock=clock)
        stack.push_async_callback(desk.finish)
        budget = await stack.enter_async_context(SharedBudget.open(settings.redis_url))
        desks = {
            broker: BrokerDesk(broker, vendor, book=book, budget=CountedBudget(budget), clock=clock)
            for broker, vendor in vendors.items()
        }
        quotes = QuoteDesk(desks)
        stack.push_async_callback(quotes.finish)
        stack.enter_context(telling_of_sessions(book, desks, budget=budget, feeding=feeding, clock=clock))
        yield [
            partial(add_SessionServiceServicer_to_server, SessionService(desk)),
            partial(add_BrokerQuoteServiceServicer_to_server, BrokerQuoteService(quotes)),
        ]


def _configuration(settings: Settings) -> Mapping[Broker, BrokerConfiguration]:
    return {
        Broker.ZERODHA: BrokerConfiguration(admin_secret=_secret(settings.zerodha_admin_secret)),
        Broker.ICICI: BrokerConfiguration(
            admin_secret=_secret(settings.icici_admin_secret),
            api_key=_secret(settings.icici_api_key),
            api_secret=_secret(settings.icici_api_secret),
        ),
    }


def _secret(configured: SecretStr | None) -> Secret | None:
    return None if configured is None else Secret(configured.get_secret_value())
