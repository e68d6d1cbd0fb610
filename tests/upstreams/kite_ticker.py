"""Kite's ticker as a server of its own: a websocket that sends binary ticks, heartbeats and a few texts.

    with kite_ticker_server(accounts) as ticker:
        ...connect a client to ticker.url with ?api_key=…&access_token=…
        ticker.wait_for_subscriptions({token: Mode.FULL})
        ticker.send_ticks([Tick(token, 3842.5)])

It can be told to misbehave: `pause_ticks`, `go_silent`, `drop`, `close`, `send_raw`, `refuse_handshakes`.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from upstreams.journal import Journal, remembered
from upstreams.kite_accounts import KiteAccounts, KiteRefused
from upstreams.kite_frames import HEARTBEAT, Mode, Tick, frame, packet
from upstreams.serving import HOST, START_SECONDS, STOP_SECONDS, listening_socket

HEARTBEAT_SECONDS = 1.0
CALL_SECONDS = 10.0
Subscriptions = dict[int, Mode]


@dataclass(slots=True)
class Client:
    """One connection, and what it asked for."""

    connection: ServerConnection
    api_key: str
    subscriptions: Subscriptions = field(default_factory=dict)

    def obey(self, order: Mapping[str, Any]) -> list[int]:
        """Do what a client's text says; return the tokens that are new to it."""
        action, value = order["a"], order["v"]
        if action == "mode":
            mode, tokens = Mode(value[0]), value[1]
            self.subscriptions |= dict.fromkeys(tokens, mode)
            return list(tokens)
        if action == "unsubscribe":
            for token in value:
                self.subscriptions.pop(token, None)
            return []
        new = [token for token in value if token not in self.subscriptions]
        self.subscriptions |= dict.fromkeys(new, Mode.QUOTE)
        return new


class KiteTickerServer:
    """Kite's ticker on a port; its methods may be called from any thread.

    Attributes:
        journal: the handshakes, each in flight as long as its connection.
        last_ticks: what a client that subscribes is sent at once, by token.
    """

    def __init__(
        self, accounts: KiteAccounts, *, port: int | None = None, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> None:
        self.journal = Journal()
        self.last_ticks: dict[int, Tick] = {}
        self._accounts = accounts
        self._heartbeat_seconds = heartbeat_seconds
        self._listener = listening_socket(port)
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[Client] = []
        self._changed = threading.Condition(threading.RLock())
        self._is_paused = self._is_silent = False
        self._refusal: HTTPStatus | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)

    @property
    def url(self) -> str:
        """Return what goes into KITE_TICKER_URL."""
        return f"ws://{HOST}:{self.port}"

    @property
    def subscriptions(self) -> list[Subscriptions]:
        """Return what each connection has asked for, the oldest connection first."""
        with self._changed:
            return [dict(client.subscriptions) for client in self._clients]

    def start(self) -> None:
        """Serve, and return when connections are accepted.

        Raises:
            TimeoutError: it does not come up.
        """
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise TimeoutError(f"the ticker does not listen on {self.port}")

    def stop(self) -> None:
        """Cut all connections and close the port."""
        self.drop()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(STOP_SECONDS)
        self._loop.close()

    def wait_for_connections(self, count: int = 1, seconds: float = 10) -> None:
        """Block until exactly so many clients are connected.

        Raises:
            TimeoutError: they are not.
        """
        self._wait(lambda: len(self._clients) == count, f"{count} connections", seconds)

    def wait_for_subscriptions(self, wanted: Subscriptions, seconds: float = 10) -> None:
        """Block until a connection has asked for these, in these modes, and perhaps for more.

        Raises:
            TimeoutError: none has.
        """
        self._wait(
            lambda: any(wanted.items() <= client.subscriptions.items() for client in self._clients),
            f"subscriptions to {wanted}",
            seconds,
        )

    def send_ticks(self, ticks: Sequence[Tick]) -> None:
        """Send ticks in one frame to everybody who subscribed to some, each in the mode asked; or none while paused."""
        self.last_ticks |= {tick.token: tick for tick in ticks}
        self._call(self._send_ticks(ticks))

    def send_text(self, message: Mapping[str, Any]) -> None:
        """Send JSON to everybody: `{"type": "order", "data": {…}}` or `{"type": "error", "data": "…"}`."""
        self._call(self._send_to_all(json.dumps(message)))

    def send_raw(self, message: bytes | str) -> None:
        """Send anything to everybody, malformed frames above all."""
        self._call(self._send_to_all(message))

    def pause_ticks(self) -> None:
        """Send no more ticks, but go on with heartbeats: connected, and silent about prices."""
        self._is_paused = True

    def resume_ticks(self) -> None:
        """Send ticks again."""
        self._is_paused = False

    def go_silent(self) -> None:
        """Fall silent with the connections open: no ticks, no heartbeats, nothing read, no answer to pings."""
        self._is_silent = True
        self._on_loop(lambda client: client.connection.transport.pause_reading())

    def recover(self) -> None:
        """Undo `go_silent`."""
        self._is_silent = False
        self._on_loop(lambda client: client.connection.transport.resume_reading())

    def drop(self) -> None:
        """Cut all connections without a goodbye."""
        self._on_loop(lambda client: client.connection.transport.abort())

    def close(self, code: int = 1001, reason: str = "") -> None:
        """Close all connections properly."""
        self._call(self._close_all(code, reason))

    def refuse_handshakes(self, status: HTTPStatus | None) -> None:
        """Answer each handshake with this status from now on; None means to accept again."""
        self._refusal = status

    async def _run(self) -> None:
        async with serve(
            self._talk,
            sock=self._listener,
            process_request=self._admit,
            ping_interval=None,
            close_timeout=1,
            compression=None,
        ) as server:
            beating = asyncio.create_task(self._beat())
            self._ready.set()
            await self._ended.wait()
            beating.cancel()
            await _closed(server)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake with an error; None accepts it."""
        if self._refusal is not None:
            return connection.respond(self._refusal, self._refusal.phrase)
        query = _query(request.path)
        try:
            self._accounts.of_session(query.get("api_key", ""), query.get("access_token", ""))
        except KiteRefused as refusal:
            return connection.respond(HTTPStatus(refusal.status), refusal.message)
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None  # a handshake came before
        path = connection.request.path
        client = Client(connection, _query(path)["api_key"])
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        query = parse_qsl(urlsplit(path).query)
        with self.journal.record(remembered("WS", "/", query=query, headers=headers, api_key=client.api_key)):
            with self._changed:
                self._clients.append(client)
                self._changed.notify_all()
            try:
                with suppress(ConnectionClosed):
                    await self._listen(client)
            finally:
                with self._changed:
                    self._clients.remove(client)
                    self._changed.notify_all()

    async def _listen(self, client: Client) -> None:
        async for message in client.connection:
            with self._changed:
                new = client.obey(json.loads(message))
                self._changed.notify_all()
            await self._send_ticks_to(client, [self.last_ticks[token] for token in new if token in self.last_ticks])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            if not self._is_silent:
                await self._send_to_all(HEARTBEAT)

    async def _send_ticks(self, ticks: Sequence[Tick]) -> None:
        for client in list(self._clients):
            await self._send_ticks_to(client, ticks)

    async def _send_ticks_to(self, client: Client, ticks: Sequence[Tick]) -> None:
        modes = client.subscriptions
        packets = [packet(tick, modes[tick.token]) for tick in ticks if tick.token in modes]
        if packets and not self._is_paused and not self._is_silent:
            await _send(client, frame(packets))

    async def _send_to_all(self, message: bytes | str) -> None:
        for client in list(self._clients):
            await _send(client, message)

    async def _close_all(self, code: int, reason: str) -> None:
        for client in list(self._clients):
            await client.connection.close(code, reason)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    def _on_loop(self, act: Callable[[Client], None]) -> None:
        async def acting() -> None:
            for client in list(self._clients):
                act(client)

        self._call(acting())

    def _wait(self, is_so: Callable[[], bool], what: str, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(is_so, seconds):
                raise TimeoutError(f"no {what} within {seconds:g} s, but {self.subscriptions}")


@contextmanager
def kite_ticker_server(
    accounts: KiteAccounts, *, port: int | None = None, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> Iterator[KiteTickerServer]:
    """Run Kite's ticker for these accounts, on any free port unless told one.

    Raises:
        PortTaken: the port is not free.
    """
    server = KiteTickerServer(accounts, port=port, heartbeat_seconds=heartbeat_seconds)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def _send(client: Client, message: bytes | str) -> None:
    with suppress(ConnectionClosed):
        await client.connection.send(message)


async def _closed(server: Server) -> None:
    server.close()
    await server.wait_closed()


def _query(path: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(path).query))
