"""The system itself, as clients see it: what it offers and how it stands."""

from typing import Literal

from gateway.reply import Reply

Connection = Literal["connected", "disconnected"]


class CacheState(Reply):
    """The first-level cache: finished answers in the gateway's memory."""

    size: int
    """Answers kept."""
    bytes: int
    hits: int
    """Answers given from it since the gateway started, as `misses` and `stale` are counted."""
    misses: int
    stale: int
    """Answers given past their time, while a newer one was fetched or could not be."""


class SharedCacheState(Reply):
    """The second-level cache: what vendors answered, kept by the services."""

    backend: Literal["memory", "redis"]
    status: Connection


class ServiceState(Reply):
    """One service and its named checks."""

    status: Literal["serving", "not_serving", "unreachable"]
    checks: dict[str, bool]
    """Whether each holds, by name; empty while the service is unreachable."""


class BoardState(Reply):
    """The live prices the gateway holds."""

    instruments: int
    ticks: int
    """Ticks heard since the gateway started."""
    holes: int
    """Times that batches of ticks were found missing since then."""
    streams: int
    """Clients that are connected to `/api/stream`."""


class LimitsState(Reply):
    """Where requests are counted, and how often that failed."""

    backend: Literal["memory", "redis"]
    redis_failures: int
    """Since the gateway started; what Redis cannot count, the gateway counts alone."""


class Health(Reply):
    """How the system stands."""

    status: Literal["healthy", "degraded", "unhealthy"]
    """`unhealthy` when no service serves, `degraded` when anything else does not hold."""
    database: Connection
    """`connected` when every service that has a database reaches it."""
    cache_l1: CacheState
    cache_l2: SharedCacheState
    warmers: dict[str, Literal["warm", "cold"]]
    """What is kept ready ahead of requests, and whether it is."""
    services: dict[str, ServiceState]
    nats: Connection
    """The message bus, which brings ticks and events."""
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
