"""The HTTP server: uvicorn on a socket of ours, ended by its owner and not by signals."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from chassis.rpc_server import AddressInUse
from gateway.protocol import BoundedHttpProtocol
from gateway.settings import Settings
from gateway.wire import Application

KEEP_ALIVE_SECONDS = 30
BACKLOG = 2048
START_POLL_SECONDS = 0.01


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The process's own loop handles signals and ends what is open in order.
        yield


@asynccontextmanager
async def serving(app: Application, settings: Settings) -> AsyncIterator[int]:
    """Serve HTTP and yield the port; on leaving, give running requests SHUTDOWN_GRACE_SECONDS.

    Raises:
        AddressInUse: nothing could be bound.
    """
    listener = _listen(settings.gateway_host, settings.gateway_port)
    server = _Server(
        uvicorn.Config(
            app,
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=settings.gateway_access_log,
            server_header=False,
            proxy_headers=bool(settings.gateway_trusted_proxies),
            forwarded_allow_ips=settings.gateway_trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.shutdown_grace_seconds,  # type: ignore[arg-type]  # seconds, whole or not
            backlog=BACKLOG,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    try:
        while not server.started and not running.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(START_POLL_SECONDS)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise AddressInUse(f"{host}:{port}") from error
