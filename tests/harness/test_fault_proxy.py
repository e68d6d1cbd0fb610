import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from harness.fault_proxy import HOST, FaultProxy

SHORT_SECONDS = 0.3


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy before a server that sends back what it is sent."""
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_echo_all, args=(listener,), daemon=True).start()
        proxy = FaultProxy(listener.getsockname()[1])
        proxy.start()
        yield proxy
        proxy.stop()
        listener.shutdown(socket.SHUT_RDWR)


def _echo_all(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while chunk := connection.recv(1024):
            connection.sendall(chunk)


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def ask(connection: socket.socket, words: bytes = b"hello") -> bytes:
    connection.sendall(words)
    return connection.recv(1024)


def test_what_is_sent_passes(proxy: FaultProxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection) == b"hello"


def test_who_is_refused_may_come_once_it_heals(proxy: FaultProxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection) == b"hello"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.let_pass()
    with connect(proxy) as connection:
        assert ask(connection) == b"hello"


def test_a_reset_takes_connections_to_break_them(proxy: FaultProxy) -> None:
    proxy.reset()
    with pytest.raises(ConnectionResetError), connect(proxy) as connection:
        connection.recv(1)


def test_what_a_mute_server_was_sent_is_answered_once_it_heals(proxy: FaultProxy) -> None:
    with connect(proxy) as old:
        assert ask(old) == b"hello"
        proxy.mute()
        with connect(proxy) as new:
            for connection in (old, new):
                connection.settimeout(SHORT_SECONDS)
                with pytest.raises(TimeoutError):
                    ask(connection, b"later")
                connection.settimeout(5)
            proxy.let_pass()
            assert old.recv(1024) == new.recv(1024) == b"later"


def test_a_slow_server_answers_late(proxy: FaultProxy) -> None:
    proxy.slow(SHORT_SECONDS * 1000)
    with connect(proxy) as connection:
        began_at = time.monotonic()
        assert ask(connection) == b"hello"
        assert time.monotonic() - began_at >= 2 * SHORT_SECONDS
