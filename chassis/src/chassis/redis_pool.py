"""Connections to Redis that keep to a bound in time, and say that Redis is away in one way whatever it looks like."""

from typing import Any

from pydantic import SecretStr
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

TIMEOUT_SECONDS = 0.25


class ConnectionGone(RedisConnectionError):
    """The other side has ended the connection, which is noticed when it is used again."""


class _Telling:
    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        except RuntimeError as error:
            # uvloop refuses to write to what is closed, where asyncio takes no notice; the library passes it on.
            raise ConnectionGone from error


class _Plain(_Telling, Connection):
    pass


class _Encrypted(_Telling, SSLConnection):
    pass


class _Local(_Telling, UnixDomainSocketConnection):
    pass


_TELLING: dict[type[Any], type[Any]] = {
    Connection: _Plain,
    SSLConnection: _Encrypted,
    UnixDomainSocketConnection: _Local,
}


def redis_pool(url: SecretStr, **options: Any) -> ConnectionPool:
    """Return a pool of connections, each of which has a quarter of a second for everything and is asked once.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        options: what else the library's pool takes, such as `max_connections`.
    """
    pool = ConnectionPool.from_url(
        url.get_secret_value(),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        **options,
    )
    pool.connection_class = _TELLING[pool.connection_class]
    return pool
