"""The composition root: what the gateway is made of, opened in order and closed in reverse."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache

from fastapi import FastAPI
from fastapi.routing import APIRoute

from chassis.bus import Bus
from chassis.clock import Clock, SystemClock
from chassis.observability import observable
from gateway.access_log import routes_alone
from gateway.admission import Admission
from gateway.board import TICKS_SUBJECT, Board
from gateway.clients import KeyStub, open_clients
from gateway.dispatch import RouteTable
from gateway.edge import Edge, EnvelopedCors, Packing
from gateway.errors import exception_handlers
from gateway.health import HealthPage, ServiceHealth
from gateway.http_cache import MIN_COMPRESSED_BYTES, HttpCache
from gateway.limits import Limits
from gateway.metrics import readings
from gateway.openapi import describe
from gateway.pages.examples import read_examples
from gateway.routes import (
    account,
    alerts,
    auth,
    brokers,
    documentation,
    earnings,
    email,
    exchanges,
    forex,
    indices,
    instruments,
    news,
    portfolio,
    portfolios,
    prices,
    stocks,
    system,
    treasury,
    watchlists,
)
from gateway.security import Keyring, Revocations, Trust, Verifier
from gateway.server import serving
from gateway.settings import Settings, listed
from gateway.stream import Streams
from gateway.traffic import Traffic
from gateway.wire import Application

log = logging.getLogger(__name__)

TITLE = "Bourse"
VERSION = "0.1.0"
DESCRIPTION = "Market data, portfolios and price alerts for Indian and US markets."
ROUTERS = (
    auth.router,
    email.router,
    account.router,
    alerts.router,
    portfolio.syncing,
    portfolio.router,
    portfolios.router,
    watchlists.router,
    brokers.router,
    indices.router,
    prices.router,
    stocks.router,
    earnings.router,
    forex.router,
    news.router,
    exchanges.router,
    treasury.router,
    instruments.router,
    documentation.router,
    system.router,
)
COMPRESSION_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway.

    Attributes:
        port: where it listens, which GATEWAY_PORT=0 leaves to the system.
    """

    port: int
    board: Board
    cache: HttpCache
    streams: Streams
    verifier: Verifier


def api_routes() -> list[APIRoute]:
    """Return every operation."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def create_api() -> FastAPI:
    """Return the framework's part: routes, errors and the OpenAPI document; it has no services yet."""
    api = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=exception_handlers(),
        telemetry={"tracing": False, "metrics": False},
    )
    routes = api_routes()
    # The table answers; the routes after it are there for the OpenAPI document.
    api.router.routes[:] = [RouteTable(routes), *routes]
    api.state.documents = describe_api()
    api.state.openapi_text = api.state.documents.openapi.text
    return api


@cache
def describe_api() -> documentation.Documents:
    """Make what describes the API, which is the same for every gateway of a process and takes a moment to make."""
    examples = read_examples()
    description = describe(api_routes(), examples, title=TITLE, version=VERSION, description=DESCRIPTION)
    return documentation.make_documents(description, examples)


@asynccontextmanager
async def build(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Gateway]:
    """Open everything and serve HTTP until the block is left; then end the streams, the requests and the rest.

    Raises:
        AddressInUse: nothing could be bound.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(Bus.open(settings, name="gateway"))
        clients = await stack.enter_async_context(open_clients(settings))
        verifier = await stack.enter_async_context(_trusting(clients.keys, bus, settings, clock))
        board = await _board_on(bus, settings, clock)
        streams = Streams(
            board=board, quotes=clients.quotes, bus=bus, verifier=verifier, settings=settings, clock=clock
        )
        await stack.enter_async_context(streams.running())
        services = ServiceHealth(clients.channels, clock)
        await stack.enter_async_context(services.watching())
        api = create_api()
        table = _routes_of(api)
        stack.enter_context(routes_alone(table))
        cache = _cache_of(api, settings, clock)
        stack.push_async_callback(cache.close)
        traffic = Traffic(table.find)
        admission = Admission(settings.gateway_max_in_flight)
        await stack.enter_async_context(admission.watching())
        limits = Limits(settings, clock)
        await stack.enter_async_context(limits.running())
        page = HealthPage(
            services=services,
            cache=cache,
            board=board,
            streams=streams,
            bus=bus,
            verifier=verifier,
            limits=limits,
        )
        api.state.settings = settings
        api.state.clients = clients
        api.state.streams = streams
        api.state.health_page = page
        edge = Edge(
            Packing(api, minimum_size=MIN_COMPRESSED_BYTES, compresslevel=COMPRESSION_LEVEL),
            answers={prices.LIVE_PRICES: board.answer},
            cache=cache,
            limits=limits,
            verifier=verifier,
            traffic=traffic,
            admission=admission,
        )
        stack.enter_context(
            readings(
                traffic=traffic,
                admission=admission,
                cache=cache,
                board=board,
                streams=streams,
                limits=limits,
                verifier=verifier,
                clock=clock,
            )
        )
        port = await stack.enter_async_context(serving(_with_cors(edge, settings), settings))
        await stack.enter_async_context(observable(settings, page.failing))
        stack.callback(streams.close)
        stack.callback(page.stop)
        log.info("listening", extra={"host": settings.gateway_host, "port": port})
        yield Gateway(port, board, cache, streams, verifier)


@asynccontextmanager
async def _trusting(keys: KeyStub, bus: Bus, settings: Settings, clock: Clock) -> AsyncIterator[Verifier]:
    keyring = Keyring(keys, clock)
    revocations = Revocations(keys, clock)
    async with Trust(keyring, revocations, bus, clock).watching():
        yield Verifier(
            keyring,
            revocations,
            clock,
            tokens_kept=settings.gateway_tokens_kept,
            max_blind_seconds=settings.gateway_revocations_max_age_seconds,
        )


async def _board_on(bus: Bus, settings: Settings, clock: Clock) -> Board:
    board = Board(
        clock,
        max_age_seconds=settings.gateway_board_max_age_seconds,
        max_instruments=settings.gateway_board_max_instruments,
    )
    await bus.subscribe(TICKS_SUBJECT, board.on_ticks)
    return board


def _routes_of(api: FastAPI) -> RouteTable:
    table = api.router.routes[0]
    assert isinstance(table, RouteTable)  # noqa: S101  # create_api puts it there
    return table


def _cache_of(api: FastAPI, settings: Settings, clock: Clock) -> HttpCache:
    return HttpCache(
        api,
        _routes_of(api).kept_path,
        max_bytes=settings.gateway_cache_max_bytes,
        max_flights=settings.gateway_max_in_flight,
        clock=clock,
    )


def _with_cors(edge: Edge, settings: Settings) -> Application:
    origins = listed(settings.gateway_cors_origins)
    return EnvelopedCors(edge, origins) if origins else edge
