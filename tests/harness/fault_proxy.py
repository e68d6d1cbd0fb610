"""A TCP proxy before a server that can be gone, mute, slow or cut off, while the server itself runs on.

What it does is changed at any time and holds for connections that are open and for those that come.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from enum import Enum

from chassis.testing import free_port

HOST = "127.0.0.1"
STOP_SECONDS = 10.0
CHUNK_BYTES = 64 * 1024
LINGER_NOTHING = b"\x01\x00\x00\x00\x00\x00\x00\x00"


class Mode(Enum):
    """What becomes of connections."""

    PASS = "passes"
    REFUSE = "refused"
    RESET = "reset"
    MUTE = "mute"
    SLOW = "slow"


class FaultProxy:
    """Stands before one server, in a thread of its own.

    Attributes:
        port: where it listens; kept while it refuses.
    """

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._mode = Mode.PASS
        self._delay_seconds = 0.0
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)

    def start(self) -> None:
        """Listen and let everything pass."""
        self._thread.start()
        self.let_pass()

    def stop(self) -> None:
        """Cut all connections and end the thread."""
        self._do(Mode.REFUSE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        self._loop.close()

    def let_pass(self) -> None:
        """Heal: what was held back goes on, who was refused may come."""
        self._do(Mode.PASS)

    def refuse(self) -> None:
        """Be as a server that is not there: open connections break, new ones are refused."""
        self._do(Mode.REFUSE)

    def reset(self) -> None:
        """Break open connections and take new ones only to break them."""
        self._do(Mode.RESET)

    def mute(self) -> None:
        """Take everything and pass nothing on, either way, as a server that hangs or a network that swallows."""
        self._do(Mode.MUTE)

    def slow(self, milliseconds: float) -> None:
        """Pass each piece on after a while, either way."""
        self._do(Mode.SLOW, milliseconds / 1000)

    def _do(self, mode: Mode, delay_seconds: float = 0.0) -> None:
        asyncio.run_coroutine_threadsafe(self._change(mode, delay_seconds), self._loop).result(STOP_SECONDS)

    async def _change(self, mode: Mode, delay_seconds: float) -> None:
        self._mode, self._delay_seconds = mode, delay_seconds
        if mode is Mode.MUTE:
            self._flows.clear()
        else:
            self._flows.set()
        if mode is Mode.REFUSE and self._listener is not None:
            # First, so that nobody comes in between.
            self._listener.close()
            self._listener = None
        if mode in {Mode.REFUSE, Mode.RESET}:
            await self._break_all()
        if mode is not Mode.REFUSE and self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port)

    async def _break_all(self) -> None:
        for writer in self._writers:
            _cut(writer)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            # Cancelled, it is to end like any other: the server would tell of it otherwise.
            with suppress(OSError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            _cut(writer)
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.RESET:
            return
        await self._flows.wait()
        to_reader, to_writer = await asyncio.open_connection(HOST, self._target_port)
        self._writers.add(to_writer)
        copies = [
            asyncio.create_task(self._copy(reader, to_writer)),
            asyncio.create_task(self._copy(to_reader, writer)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            _cut(to_writer)
            self._writers.discard(to_writer)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await self._flows.wait()
            writer.write(chunk)
            await writer.drain()


def _cut(writer: asyncio.StreamWriter) -> None:
    """End a connection at once; the other side is told of a reset where it has not read everything."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOTHING)
    writer.transport.abort()
