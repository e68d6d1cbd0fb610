"""Writes at a steady rate, whatever becomes of them, and what became of each."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

REQUEST_SECONDS = 15.0
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Request:
    """One write."""

    path: str
    body: Mapping[str, object]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write was answered; `status` is None when the connection broke."""

    request: Request
    status: int | None
    body: Any
    at: float


class Connection:
    """One kept-alive connection that is opened again when it breaks."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, request: Request) -> Outcome:
        """Send once, never again: a write whose answer was lost is of unknown fate."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                status, body = await self._exchange(request)
        except (OSError, EOFError, ValueError, TimeoutError):
            await self.close()
            return Outcome(request, None, None, time.monotonic())
        return Outcome(request, status, body, time.monotonic())

    async def close(self) -> None:
        if self._streams is None:
            return
        writer = self._streams[1]
        self._streams = None
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _exchange(self, request: Request) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        payload = json.dumps(request.body).encode()
        lines = [f"POST {request.path} HTTP/1.1", f"Host: {self._host}", "Content-Type: application/json"]
        lines += [f"Content-Length: {len(payload)}"]
        lines += [f"Authorization: Bearer {request.token}"] if request.token else []
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + payload)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *headers = head.split("\r\n")
        length = next(int(line.split(":")[1]) for line in headers if line.lower().startswith("content-length:"))
        body = json.loads(await reader.readexactly(length))
        if any(line.lower().replace(" ", "") == "connection:close" for line in headers):
            await self.close()
        return int(status_line.split()[1]), body


async def write_steadily(
    url: str, next_request: Callable[[int], Request], *, per_second: float, seconds: float
) -> list[Outcome]:
    """Send `per_second` writes for `seconds`, over at most CONNECTIONS connections, and return all outcomes."""
    outcomes: list[Outcome] = []
    numbers = iter(range(int(per_second * seconds)))
    started_at = time.monotonic()

    async def work() -> None:
        connection = Connection(url)
        for number in numbers:
            await asyncio.sleep(started_at + number / per_second - time.monotonic())
            outcomes.append(await connection.post(next_request(number)))
        await connection.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return outcomes
