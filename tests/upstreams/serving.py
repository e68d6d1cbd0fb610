"""The thread that serves an application on a loopback port; it can be stopped and started again in place."""

import socket
import threading
import time
from contextlib import closing
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from chassis.testing import free_port

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
BIND_ATTEMPTS = 20
ROUND_SECONDS = 0.005


class PortTaken(RuntimeError):
    """Somebody else listens there."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} of {HOST} is taken")
        self.port = port


class DidNotStart(RuntimeError):
    """The server accepts no connections."""

    def __init__(self, port: int) -> None:
        super().__init__(f"nothing listens at {HOST}:{port} after {START_SECONDS:g} s")


def listening_socket(port: int | None) -> socket.socket:
    """Bind a port, or any free one.

    Raises:
        PortTaken: it is not free.
    """
    if port is not None:
        return _bound(port)
    for _ in range(BIND_ATTEMPTS - 1):
        try:
            return _bound(free_port())
        except PortTaken:
            continue
    return _bound(free_port())


def _bound(port: int) -> socket.socket:
    # Named as TCP, or asyncio does not send small answers at once.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise PortTaken(port) from error
    return listener


class Served(Protocol):
    """What is told when it is served and when no longer, so that it lets go of what hangs."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


class LoopbackServer:
    """One application on one port, in a thread of its own.

    Attributes:
        port: where it listens; kept over `stop` and `start`.
    """

    def __init__(self, app: ASGIApp, *served: Served, port: int | None = None) -> None:
        self._app = app
        self._served = served
        self._listener = listening_socket(port)
        self.port: int = self._listener.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Return its address, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Serve, and return when connections are accepted.

        Raises:
            PortTaken: its port went to another while it was stopped.
            DidNotStart: it does not come up.
        """
        if self._listener.fileno() < 0:
            self._listener = _bound(self.port)
        for served in self._served:
            served.begin()
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise DidNotStart(self.port)
            time.sleep(ROUND_SECONDS)

    def stop(self) -> None:
        """Close the port and all connections."""
        with closing(self._listener):
            if self._server is None or self._thread is None:
                return
            self._server.should_exit = True
            for served in self._served:
                served.end()
            self._thread.join(STOP_SECONDS)
            self._server = self._thread = None
