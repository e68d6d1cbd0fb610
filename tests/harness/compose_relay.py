"""A way from a container to servers on this machine's loopback, over sockets in a folder that both can open.

Where a container asks 127.0.0.1:PORT, a relay beside it (in its network) passes that on to FOLDER/PORT.sock, and one on
this machine from there to its own 127.0.0.1:PORT: nobody listens on any network. Alone this file is the relay of a
container: `python compose_relay.py FOLDER PORT...`.
"""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
START_SECONDS = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Opens = Callable[[], Awaitable[Streams]]


def socket_of(folder: Path, port: int) -> Path:
    """Return where the server of a port is reached."""
    return folder / f"{port}.sock"


async def listen_in_container(folder: Path, ports: Sequence[int]) -> None:
    """Pass on what comes to these ports, for ever."""
    servers = [
        await asyncio.start_server(_passing_to(_opening_socket(socket_of(folder, port))), HOST, port) for port in ports
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


@contextmanager
def relayed(folder: Path, ports: Sequence[int]) -> Iterator[None]:
    """Pass on what comes out of containers to this machine's ports, until the block is left."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    servers: list[asyncio.Server] = []
    try:
        asyncio.run_coroutine_threadsafe(_listen_here(folder, ports, servers), loop).result(START_SECONDS)
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_end(servers), loop).result(START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_SECONDS)
        loop.close()


async def _listen_here(folder: Path, ports: Sequence[int], servers: list[asyncio.Server]) -> None:
    for port in ports:
        path = socket_of(folder, port)
        servers.append(await asyncio.start_unix_server(_passing_to(_opening_port(port)), path))
        # Containers' processes run under another user.
        path.chmod(0o777)


async def _end(servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _opening_socket(path: Path) -> Opens:
    return lambda: asyncio.open_unix_connection(path)


def _opening_port(port: int) -> Opens:
    return lambda: asyncio.open_connection(HOST, port)


def _passing_to(opens: Opens) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await opens()
        except OSError:
            writer.transport.abort()
            return
        await _join((reader, writer), (to_reader, to_writer))

    return pass_on


async def _join(one: Streams, other: Streams) -> None:
    copies = [asyncio.create_task(_copy(one[0], other[1])), asyncio.create_task(_copy(other[0], one[1]))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        for _, writer in (one, other):
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(listen_in_container(Path(sys.argv[1]), [int(port) for port in sys.argv[2:]]))
