"""A gateway in front of fake services with behaviour, which are served over real gRPC."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import nats
import pytest
from nats.aio.client import Client

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.health import Health
from chassis.rpc_server import serving
from chassis.testing import NatsServer, free_port, nats_server
from fakes.alerts import FakeAlerts
from fakes.auth import FakeAuth
from fakes.brokers import FakeBrokers
from fakes.faults import NOW, Refusal
from fakes.market import FakeMarket
from fakes.portfolio import FakePortfolio
from gateway.app import Gateway, build
from gateway.settings import Settings


@dataclass
class World:
    """Everything around a gateway, and the gateway."""

    auth: FakeAuth
    market: FakeMarket
    alerts: FakeAlerts
    portfolio: FakePortfolio
    brokers: FakeBrokers
    healths: dict[str, Health]
    nats: NatsServer
    addresses: dict[str, str]
    stack: AsyncExitStack
    gateway: Gateway | None = None
    client: httpx.AsyncClient | None = None
    gateway_stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _servers: dict[str, AsyncExitStack] = field(default_factory=dict)
    _publisher: Client | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        assert self.client is not None
        return self.client

    async def start_service(self, name: str) -> None:
        registrations = getattr(self, name).registrations()
        server = AsyncExitStack()
        settings = self.settings(shutdown_grace_seconds=0)
        health = self.healths.setdefault(name, Health())
        await server.enter_async_context(serving(self.addresses[name], registrations, health=health, settings=settings))
        self._servers[name] = server

    async def stop_service(self, name: str) -> None:
        self.healths.pop(name, None)
        await self._servers.pop(name).aclose()

    async def close(self) -> None:
        if self._publisher is not None:
            await self._publisher.close()
            await asyncio.sleep(0)
        for name in list(self._servers):
            await self.stop_service(name)

    def settings(self, **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "gateway_port": 0,
            "nats_url": self.nats.url,
            "rpc_deadline_seconds": 2.0,
            "shutdown_grace_seconds": 1.0,
            "gateway_limit_register": "1000/minute",
            "gateway_limit_login": "1000/minute",
            "gateway_limit_refresh": "1000/minute",
            "gateway_limit_sync": "1000/minute",
            "gateway_limit_recovery": "1000/minute",
            "gateway_limit_mail": "1000/minute",
            **{f"{name}_address": address for name, address in self.addresses.items()},
            **changes,
        }
        return Settings(**values)

    async def open(self, **changes: Any) -> httpx.AsyncClient:
        """Open the gateway and wait until it is ready."""
        self.gateway_stack = await self.stack.enter_async_context(AsyncExitStack())
        self.gateway = await self.gateway_stack.enter_async_context(build(self.settings(**changes)))
        self.client = await self.stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.gateway.port}", timeout=5)
        )
        return self.client

    async def until_ready(self) -> None:
        async with asyncio.timeout(5):
            while (await self.http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)

    def sign_in(self, user_id: str = "42", **changes: Any) -> dict[str, str]:
        """Return the header of a token that auth would give out."""
        return {"Authorization": f"Bearer {self.auth.mint(user_id, **changes)}"}

    async def by_cookie(self, method: str, path: str, body: Any) -> tuple[httpx.Response, httpx.Response]:
        """Ask as the client's cookies say, without the CSRF token and then with it."""
        without = await self.http.request(method, path, json=body)
        token = {"X-CSRF-Token": self.http.cookies["csrf_token"]}
        return without, await self.http.request(method, path, json=body, headers=token)

    def error_of(self, response: httpx.Response) -> dict[str, str]:
        """Return an error's body, after checking that it is the envelope."""
        body: dict[str, str] = json.loads(response.content)
        assert set(body) == {"error", "message", "code", "request_id"}, body
        assert body["request_id"] == response.headers["x-request-id"]
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        return body

    async def tick(self, prices: dict[str, float], **changes: Any) -> None:
        """Publish a batch and wait until the board has it."""
        assert self.gateway is not None
        before = self.gateway.board.batches
        await self.publish("ticks.3", tick_batch(prices, **changes).SerializeToString())
        async with asyncio.timeout(5):
            while self.gateway.board.batches == before:
                await asyncio.sleep(0.005)

    async def publish(self, subject: str, payload: bytes) -> None:
        if self._publisher is None:
            self._publisher = await nats.connect(self.nats.url)
        await self._publisher.publish(subject, payload)
        await self._publisher.flush()


@pytest.fixture(scope="session")
def nats_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@asynccontextmanager
async def a_world(nats_at: NatsServer) -> AsyncIterator[World]:
    names = ("auth", "market", "portfolio", "brokers", "alerts")
    addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
    async with AsyncExitStack() as stack:
        portfolio = FakePortfolio()
        world = World(
            auth=FakeAuth(),
            market=FakeMarket(),
            alerts=FakeAlerts(),
            portfolio=portfolio,
            brokers=FakeBrokers(portfolio),
            healths={},
            nats=nats_at,
            addresses=addresses,
            stack=stack,
        )
        stack.push_async_callback(world.close)
        for name in names:
            await world.start_service(name)
        yield world


@pytest.fixture
async def world(nats_one: NatsServer) -> AsyncIterator[World]:
    """Services and NATS without a gateway: the test opens one with its own settings."""
    async with a_world(nats_one) as made:
        yield made


@pytest.fixture
async def running(world: World) -> World:
    """A gateway that is ready, and everything around it."""
    await world.open()
    await world.until_ready()
    return world


def tick_batch(
    prices: dict[str, float],
    *,
    sequence: int = 1,
    freshness: int = quotes_pb2.FRESHNESS_SIMULATED,
    previous_close: float | None = None,
) -> ticks_pb2.TickBatch:
    batch = ticks_pb2.TickBatch(
        publisher_id="test",
        epoch=1,
        shard=0,
        sequence=sequence,
        source="sample",
        freshness=freshness,  # type: ignore[arg-type]
    )
    batch.base_time.FromDatetime(NOW)
    for instrument, price in prices.items():
        batch.ticks.add(
            instrument=instrument, last_price=price, previous_close=previous_close, offset_microseconds=1500
        )
    return batch


@pytest.fixture
def make_batch() -> Callable[..., ticks_pb2.TickBatch]:
    return tick_batch


@pytest.fixture
def auth() -> FakeAuth:
    return FakeAuth()


@pytest.fixture(scope="session")
def make_world(nats_one: NatsServer) -> Callable[..., Any]:
    return lambda server=None: a_world(server or nats_one)


@pytest.fixture(scope="session")
def make_refusal() -> type[Refusal]:
    return Refusal
