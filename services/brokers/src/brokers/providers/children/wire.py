"""What passes between the service, its forkserver and their children: fixed control messages and sized JSON frames."""

import json
import socket
import struct
from enum import IntEnum
from typing import Any, TypeAlias

# JSON as far as Python's checkers can say it without recursion in every signature.
JSON: TypeAlias = Any

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_JOB_BYTES = 256 * 1024

LENGTH = struct.Struct("!I")
_CONTROL = struct.Struct("!BQi")
CONTROL_BYTES = _CONTROL.size


class Control(IntEnum):
    """What a control message says."""

    # To the forkserver.
    FORK = 1
    KILL = 2
    # From it.
    READY = 3
    BROKEN = 4
    ENDED = 5


class FrameTooLong(ValueError):
    """A frame is longer than its bound."""

    def __init__(self, length: int) -> None:
        super().__init__(f"a frame of {length} bytes is too long")


def pack_control(what: Control, child: int = 0, number: int = 0) -> bytes:
    """Return a control message; `number` is an exit status for ENDED and the length of a text for BROKEN."""
    return _CONTROL.pack(what, child, number)


def unpack_control(message: bytes) -> tuple[Control, int, int]:
    """Return what a control message says, of which child, and its number."""
    what, child, number = _CONTROL.unpack(message)
    return Control(what), child, number


def frame(value: JSON) -> bytes:
    """Return a value as a sized frame.

    Raises:
        ValueError: it holds a number that is not finite.
        TypeError: it is not JSON.
    """
    body = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    return LENGTH.pack(len(body)) + body


def receive_exactly(connection: socket.socket, length: int) -> bytes:
    """Read so many bytes, waiting for them.

    Raises:
        EOFError: the other side has gone.
    """
    received = bytearray()
    while len(received) < length:
        portion = connection.recv(length - len(received))
        if not portion:
            raise EOFError
        received += portion
    return bytes(received)


def receive_frame(connection: socket.socket, *, at_most: int) -> JSON:
    """Read a frame, waiting for it.

    Raises:
        EOFError: the other side has gone.
        FrameTooLong: it is longer than `at_most` bytes.
    """
    (length,) = LENGTH.unpack(receive_exactly(connection, LENGTH.size))
    if length > at_most:
        raise FrameTooLong(length)
    return json.loads(receive_exactly(connection, length))
