"""How the services stand: asks each one's standard gRPC health service twice a second, with a short deadline."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Literal

import grpc
from fastapi import Depends, Request
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.bus import Bus
from chassis.clock import Clock
from chassis.tasks import running
from gateway.board import Board
from gateway.http_cache import HttpCache
from gateway.limits import Limits
from gateway.models.system import BoardState, CacheState, Health, LimitsState, ServiceState, SharedCacheState
from gateway.security import Verifier
from gateway.stream import Streams

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
POLL_DEADLINE_SECONDS = 0.75
OVERALL = ""
DATABASE = "database"
CACHE = "cache"
WARMER = "warmer:"
SNAPSHOT_WARMER = "index:snapshot"
WITHOUT_DATABASE = frozenset({"brokers"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What one service last said."""

    is_reachable: bool = False
    is_serving: bool = False
    checks: Mapping[str, bool] = field(default_factory=dict)

    def as_reply(self) -> ServiceState:
        """Return it as clients see it."""
        if not self.is_reachable:
            return ServiceState(status="unreachable", checks={})
        return ServiceState(status="serving" if self.is_serving else "not_serving", checks=dict(self.checks))


class ServiceHealth:
    """The last known standing of every service."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], clock: Clock) -> None:
        self._stubs = {name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()}
        self._clock = clock
        self.standings: dict[str, Standing] = dict.fromkeys(channels, Standing())

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Ask in the background until the block is left."""
        async with running(self._watch()):
            yield

    async def look(self) -> None:
        """Ask every service once."""
        names = list(self._stubs)
        standings = await asyncio.gather(*(self._standing_of(name) for name in names))
        for name, standing in zip(names, standings, strict=True):
            if standing.is_serving != self.standings[name].is_serving:
                log.info("service changed", extra={"peer": name, "is_serving": standing.is_serving})
            self.standings[name] = standing

    async def _watch(self) -> None:
        while True:
            await self.look()
            await self._clock.sleep(POLL_SECONDS)

    async def _standing_of(self, name: str) -> Standing:
        try:
            reply = await self._stubs[name].List(health_pb2.HealthListRequest(), timeout=POLL_DEADLINE_SECONDS)
        except grpc.aio.AioRpcError:
            return Standing()
        checks = {
            check: answer.status == health_pb2.HealthCheckResponse.SERVING for check, answer in reply.statuses.items()
        }
        return Standing(is_reachable=True, is_serving=checks.pop(OVERALL, False), checks=checks)


class HealthPage:
    """Puts together what `/api/health` and `/readyz` say."""

    def __init__(
        self,
        *,
        services: ServiceHealth,
        cache: HttpCache,
        board: Board,
        streams: Streams,
        bus: Bus,
        verifier: Verifier,
        limits: Limits,
    ) -> None:
        self._services = services
        self._cache = cache
        self._board = board
        self._streams = streams
        self._bus = bus
        self._verifier = verifier
        self._limits = limits
        self._is_stopping = False

    @property
    def is_ready(self) -> bool:
        """Say whether the gateway has begun its work, and is not on its way out."""
        return not self.failing()

    def failing(self) -> list[str]:
        """Return what keeps the gateway from its work; nothing when it is ready.

        Auth, lost later, costs what needs a token alone, and every gateway alike: to be taken out of service for it
        would cost the public reads, too. `/api/health` tells of it.
        """
        if self._is_stopping:
            return ["stopping"]
        return [] if self._verifier.is_prepared else ["tokens"]

    def stop(self) -> None:
        """Say from now on that the gateway is not ready."""
        self._is_stopping = True

    def read(self) -> Health:
        """Return how the system stands."""
        standings = self._services.standings
        databases = [
            standing.checks.get(DATABASE, standing.is_serving)
            for name, standing in standings.items()
            if name not in WITHOUT_DATABASE
        ]
        market = standings["market"].checks
        return Health(
            status=self._status(),
            database="connected" if all(databases) else "disconnected",
            cache_l1=CacheState(
                size=len(self._cache),
                bytes=self._cache.size_bytes,
                hits=self._cache.hits,
                misses=self._cache.misses,
                stale=self._cache.stale,
            ),
            cache_l2=SharedCacheState(
                backend=self._store,
                status="connected" if market.get(CACHE, standings["market"].is_serving) else "disconnected",
            ),
            warmers={SNAPSHOT_WARMER: "warm" if market.get(WARMER + SNAPSHOT_WARMER, False) else "cold"},
            services={name: standing.as_reply() for name, standing in standings.items()},
            nats="connected" if self._bus.is_heard else "disconnected",
            board=BoardState(
                instruments=len(self._board),
                ticks=self._board.ticks,
                holes=self._board.holes,
                streams=self._streams.count,
            ),
            limits=LimitsState(backend=self._store, redis_failures=self._limits.redis_failures),
        )

    @property
    def _store(self) -> Literal["memory", "redis"]:
        return "redis" if self._limits.has_redis else "memory"

    def _status(self) -> Literal["healthy", "degraded", "unhealthy"]:
        standings = self._services.standings.values()
        if not any(standing.is_serving for standing in standings):
            return "unhealthy"
        all_hold = all(standing.is_serving and all(standing.checks.values()) for standing in standings)
        return "healthy" if all_hold and self._bus.is_heard and self._verifier.is_able else "degraded"


async def _page(request: Request) -> HealthPage:
    page: HealthPage = request.app.state.health_page
    return page


Page = Annotated[HealthPage, Depends(_page)]
