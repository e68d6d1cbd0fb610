"""An HTTP server: uvicorn on a socket of ours, ended by its owner and not by signals."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from chassis.settings import AddressInUse

BACKLOG = 2048
START_POLL_SECONDS = 0.01


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The process's own loop handles signals and ends what is open in order.
        yield


@asynccontextmanager
async def serving_http(
    app: Any, host: str, port: int, *, grace_seconds: float, accepts: int = 1, **options: Any
) -> AsyncIterator[int]:
    """Serve an ASGI application and yield the port; on leaving, give running requests `grace_seconds`.

    Args:
        app: the application; it has no lifespan and no web sockets.
        host: the address to listen on.
        port: the port to listen on; 0 leaves it to the system.
        grace_seconds: how long running requests may take once the block is left.
        accepts: how many connections may be taken in one turn of the event loop. uvloop takes one for each listener
            (libuv since 1.45, libuv/libuv#3696), so that who comes anew waits many turns of a busy loop.
        options: what else uvicorn is configured with.

    Raises:
        AddressInUse: nothing could be bound.
    """
    listener = _listen(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=grace_seconds,  # type: ignore[arg-type]  # seconds, whole or not
            backlog=BACKLOG,
            **options,
        )
    )
    port_bound = listener.getsockname()[1]
    listeners = [listener, *(listener.dup() for _ in range(accepts - 1))]
    running = asyncio.create_task(server.serve(sockets=listeners), name="http server")
    try:
        while not server.started and not running.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(START_POLL_SECONDS)
        yield port_bound
    finally:
        server.should_exit = True
        await running


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressInUse(f"{host}:{port}") from error
