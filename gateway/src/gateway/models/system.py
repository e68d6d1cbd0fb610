"""The system itself, as clients see it: what it offers and how it stands."""

from typing import Literal

from gateway.reply import Reply

Connection = Literal["connected", "disconnected"]


class CacheState(Reply):
    """The first-level cache: finished answers in the gateway's memory."""

    size: int
    bytes: int
    hits: int
    misses: int
    stale: int


class SharedCacheState(Reply):
    """The second-level cache: what vendors answered, kept by the services."""

    backend: Literal["memory", "redis"]
    status: Connection


class ServiceState(Reply):
    """One service and its named checks."""

    status: Literal["serving", "not_serving", "unreachable"]
    checks: dict[str, bool]


class BoardState(Reply):
    """The live prices the gateway holds."""

    instruments: int
    ticks: int
    holes: int
    streams: int


class LimitsState(Reply):
    """Where requests are counted, and how often that failed."""

    backend: Literal["memory", "redis"]
    redis_failures: int


class Health(Reply):
    """How the system stands."""

    status: Literal["healthy", "degraded", "unhealthy"]
    database: Connection
    cache_l1: CacheState
    cache_l2: SharedCacheState
    warmers: dict[str, Literal["warm", "cold"]]
    services: dict[str, ServiceState]
    nats: Connection
    board: BoardState
    limits: LimitsState


class Liveness(Reply):
    """That the process runs, or is ready for traffic."""

    status: Literal["ok"]


class Information(Reply):
    """That the server runs, and the address of every operation by group and name."""

    status: Literal["success"]
    message: str
    version: str
    documentation: str
    endpoints: dict[str, dict[str, str]]
    example: str
