"""Loopback ports that stay the same for a RUN_DIR as long as nobody else takes them."""

import socket
import zlib
from collections.abc import Callable
from pathlib import Path

HOST = "127.0.0.1"
# Below the ranges that Linux (32768) and macOS (49152) give to outgoing connections: a client that retries a dead
# service's port from that range can connect to itself and keep the service from coming back.
FIRST_PORT = 20_000
BLOCKS = 1_000
BLOCK_SIZE = 10
LAST_PORT = FIRST_PORT + BLOCKS * BLOCK_SIZE - 1


class NoFreePort(RuntimeError):
    """Every port of the range is taken."""

    def __init__(self) -> None:
        super().__init__(f"no free loopback port between {FIRST_PORT} and {LAST_PORT}")


def choose_ports(run_dir: Path, count: int, *, is_free: Callable[[int], bool]) -> list[int]:
    """Choose `count` free ports, starting where the run directory's name points to.

    Raises:
        NoFreePort: the range does not hold that many.
    """
    block = zlib.crc32(str(run_dir.resolve()).encode()) % BLOCKS
    start = FIRST_PORT + block * BLOCK_SIZE
    chosen: list[int] = []
    for port in [*range(start, LAST_PORT + 1), *range(FIRST_PORT, start)]:
        if len(chosen) == count:
            return chosen
        if is_free(port):
            chosen.append(port)
    raise NoFreePort


def is_port_free(port: int, host: str = HOST) -> bool:
    """Say whether something could listen on the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # As servers do: connections that linger after a stop are no hindrance.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True
