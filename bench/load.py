"""A small HTTP/1.1 load client on loopback: closed loop for rates, fixed rate for latencies; always bounded."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

CONNECTIONS = 32
OK = 200


@dataclass(frozen=True, slots=True)
class Target:
    """What to ask for."""

    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    def request(self) -> bytes:
        lines = [f"GET {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *(f"{k}: {v}" for k, v in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Result:
    """What came back."""

    requests: int
    seconds: float
    not_ok: int
    latencies: Sequence[float]

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Connection(asyncio.Protocol):
    """One request at a time; answers must carry Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answered: asyncio.Future[int] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        """Return the answer's status."""
        assert self.transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answered


async def connect(port: int) -> Connection:
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


async def closed_loop(target: Target, seconds: float, connections: int = CONNECTIONS) -> Result:
    """Ask as fast as answers come, over `connections` connections, for `seconds`."""
    request = target.request()
    opened = [await connect(target.port) for _ in range(connections)]
    latencies: list[float] = []
    not_ok = 0
    started = time.perf_counter()
    deadline = started + seconds

    async def drive(connection: Connection) -> None:
        nonlocal not_ok
        while (sent := time.perf_counter()) < deadline:
            not_ok += await connection.ask(request) != OK
            latencies.append(time.perf_counter() - sent)

    await asyncio.gather(*(drive(connection) for connection in opened))
    elapsed = time.perf_counter() - started
    for connection in opened:
        assert connection.transport is not None
        connection.transport.close()
    return Result(len(latencies), elapsed, not_ok, latencies)


async def fixed_rate(target: Target, per_second: int, seconds: float, connections: int = 8) -> Result:
    """Ask `per_second` times a second whatever the answers do; a latency counts from when the request was due."""
    request = target.request()
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        idle.put_nowait(await connect(target.port))
    latencies: list[float] = []
    not_ok = 0

    async def one(due: float) -> None:
        nonlocal not_ok
        connection = await idle.get()
        not_ok += await connection.ask(request) != OK
        latencies.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    started = time.perf_counter()
    asked: list[asyncio.Task[None]] = []
    for number in range(int(per_second * seconds)):
        due = started + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        asked.append(asyncio.create_task(one(due)))
    await asyncio.gather(*asked)
    elapsed = time.perf_counter() - started
    while not idle.empty():
        transport = idle.get_nowait().transport
        assert transport is not None
        transport.close()
    return Result(len(latencies), elapsed, not_ok, latencies)
