"""The way out for processes that keep the vendors' real addresses: a CONNECT proxy with a throw-away authority.

    with brokers_server(...) as brokers, egress(brokers.server.port, folder) as way_out:
        environment |= way_out.environment

The real hosts, TLS and all, end at the stand-ins; every other host is refused, so that a test cannot leave the machine.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from upstreams.serving import HOST, START_SECONDS, STOP_SECONDS, listening_socket

VENDOR_HOSTS = (
    "api.kite.trade",
    "api.icicidirect.com",
    "breezeapi.icicidirect.com",
    "directlink.icicidirect.com",
    "fc.yahoo.com",
    "guce.yahoo.com",
    "consent.yahoo.com",
    "finance.yahoo.com",
    "query1.finance.yahoo.com",
    "query2.finance.yahoo.com",
)
PART_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class WayOut:
    """A proxy that runs.

    Attributes:
        environment: what a process must inherit to go through it.
        asked: the hosts asked for, in order; those refused too.
    """

    environment: Mapping[str, str]
    asked: list[str] = field(default_factory=list)


@contextmanager
def egress(port: int, folder: Path) -> Iterator[WayOut]:
    """Send what is meant for the vendors' hosts to a port of this machine.

    Args:
        port: where the stand-ins answer without TLS.
        folder: where the authority and its key are kept.
    """
    authority, context = _authority(folder)
    listener = listening_socket(None)
    address = f"http://{HOST}:{listener.getsockname()[1]}"
    way_out = WayOut(
        {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), address),
            **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(authority)),
        }
    )
    proxy = _Proxy(port, context, way_out.asked)
    loop = asyncio.new_event_loop()
    ready, ended = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(listener, ready, ended),), daemon=True)
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise TimeoutError(f"the proxy does not listen at {address}")
        yield way_out
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(STOP_SECONDS)
        loop.close()


class _Proxy:
    def __init__(self, port: int, context: ssl.SSLContext, asked: list[str]) -> None:
        self._port = port
        self._context = context
        self._asked = asked
        self._tunnels: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket, ready: threading.Event, ended: asyncio.Event) -> None:
        server = await asyncio.start_server(self._admit, sock=listener)
        ready.set()
        await ended.wait()
        server.close()
        for tunnel in self._tunnels:
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnel = asyncio.ensure_future(self._pass(reader, writer))
        self._tunnels.add(tunnel)
        tunnel.add_done_callback(self._tunnels.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._tunnel(reader, writer)
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        host = target.partition(":")[0]
        self._asked.append(host)
        if method != "CONNECT" or host not in VENDOR_HOSTS:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._context)
        inner_reader, inner_writer = await asyncio.open_connection(HOST, self._port)
        try:
            await _first_to_end(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            inner_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(PART_BYTES):
        writer.write(part)
        await writer.drain()


async def _first_to_end(*copies: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(copy) for copy in copies]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for all of the vendors' hosts that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bourse tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in VENDOR_HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, private = folder / "authority.pem", folder / "authority.key"
    authority.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return authority, context
