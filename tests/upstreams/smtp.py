"""A mail server of its own, on loopback: it takes letters, asks for a password, speaks TLS, and fails when told to.

    with smtp_server(tmp_path, offers=Offers.STARTTLS) as smtp:
        make_mailer(... smtp_url=smtp.url ...)
        smtp.fail(SmtpFault.GREYLIST)
        smtp.letters[0].message["Subject"]

Clients trust it when `SSL_CERT_FILE` is `smtp.certificate`.
"""

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from upstreams.serving import HOST, listening_socket

USERNAME = "mailer"
PASSWORD = "correct/horse@battery"
START_SECONDS = 10.0
ROUNDS_SECONDS = 0.05


class Offers(StrEnum):
    """How a server speaks TLS."""

    STARTTLS = "starttls"
    TLS = "tls"
    NOTHING = "nothing"


class SmtpFault(StrEnum):
    """What goes wrong with one letter."""

    REFUSE_RECIPIENT = "550 at RCPT"
    GREYLIST = "451 at RCPT"
    REFUSE_SENDER = "550 at MAIL"
    REFUSE_LETTER = "554 after the letter"
    HANG = "no answer after the letter"
    DROP_AFTER_DATA = "taken, and the connection dropped instead of an answer"
    HANG_AT_QUIT = "no answer to QUIT"


@dataclass(frozen=True, slots=True)
class TakenLetter:
    """One letter as it came.

    Attributes:
        content: the bytes behind DATA.
        has_tls: whether they came over TLS.
        username: who logged in; None when nobody did.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    has_tls: bool
    username: str | None

    @property
    def message(self) -> EmailMessage:
        """Read the letter."""
        message: EmailMessage = message_from_bytes(self.content, policy=default)
        return message


class RunningSmtp:
    """A mail server in a thread of its own.

    Attributes:
        letters: what was taken, oldest first; a letter sent twice is there twice.
        tries: how many letters were begun (MAIL), taken or not.
        certificate: the PEM file that clients are to trust.
    """

    def __init__(self, folder: Path, offers: Offers, *, asks_for_password: bool) -> None:
        self.letters: list[TakenLetter] = []
        self.tries = 0
        self.certificate = folder / "smtp-certificate.pem"
        self._offers = offers
        self._asks_for_password = asks_for_password
        self._tls = _server_context(folder, self.certificate)
        self._faults: deque[SmtpFault] = deque()
        self._standing: dict[str, SmtpFault] = {}
        self._current: SmtpFault | None = None
        self._listener = listening_socket(None)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._protocols: set[SMTP] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Return what SMTP_URL is to be."""
        scheme = "smtps" if self._offers is Offers.TLS else "smtp"
        who = f"{USERNAME}:{PASSWORD.replace('/', '%2F').replace('@', '%40')}@" if self._asks_for_password else ""
        return f"{scheme}://{who}{HOST}:{self.port}"

    def fail(self, *faults: SmtpFault) -> None:
        """Fail the next letters, one after the other."""
        self._faults.extend(faults)

    def always_fail(self, recipient: str, fault: SmtpFault) -> None:
        """Fail every letter to an address with a fault at RCPT or later."""
        self._standing[recipient] = fault

    def wait_for(self, letters: int, *, seconds: float = 30.0) -> list[TakenLetter]:
        """Return what was taken once there are so many letters.

        Raises:
            TimeoutError: there are not.
        """
        deadline = time.monotonic() + seconds
        while len(self.letters) < letters:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.letters)} of {letters} letters came")
            time.sleep(0.02)
        return list(self.letters)

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()
        context = self._tls if self._offers is Offers.TLS else None
        serving = self._loop.create_server(self._protocol, sock=self._listener, ssl=context)
        asyncio.run_coroutine_threadsafe(serving, self._loop).result(START_SECONDS)

    def stop(self) -> None:
        """Close the port and all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(START_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    async def _end(self) -> None:
        self._listener.close()
        for protocol in self._protocols:
            _cut(protocol)
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A closed transport closes its socket in the loop's next rounds.
        await asyncio.sleep(ROUNDS_SECONDS)

    def _protocol(self) -> SMTP:
        protocol = SMTP(
            self,
            hostname="smtp.example.com",
            tls_context=self._tls if self._offers is Offers.STARTTLS else None,
            auth_require_tls=self._offers is Offers.STARTTLS,
            authenticator=_check_password,
            loop=self._loop,
        )
        self._protocols.add(protocol)
        return protocol

    # What aiosmtpd calls.

    async def handle_MAIL(  # noqa: PLR0917  # the library's shape
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Begin a letter."""
        if self._asks_for_password and not session.authenticated:
            return "530 5.7.0 Authentication required"
        self.tries += 1
        self._current = self._faults.popleft() if self._faults else None
        if self._current is SmtpFault.REFUSE_SENDER:
            return f"550 5.1.7 <{address}> is not yours"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: PLR0917  # the library's shape
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take an address."""
        self._current = self._standing.get(address, self._current)
        if self._current is SmtpFault.REFUSE_RECIPIENT:
            return f"550 5.1.1 <{address}> no such mailbox"
        if self._current is SmtpFault.GREYLIST:
            return f"451 4.7.1 <{address}> greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a letter."""
        if self._current is SmtpFault.REFUSE_LETTER:
            return "554 5.7.1 looks like spam"
        if self._current is SmtpFault.HANG:
            await asyncio.Event().wait()
        self.letters.append(_taken(session, envelope, has_tls=self._offers is Offers.TLS or session.ssl is not None))
        if self._current is SmtpFault.DROP_AFTER_DATA:
            _cut(server)
            await asyncio.Event().wait()
        return "250 OK"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Say good-bye."""
        if self._current is SmtpFault.HANG_AT_QUIT:
            await asyncio.Event().wait()
        return "221 Bye"


@contextmanager
def smtp_server(
    folder: Path, offers: Offers = Offers.STARTTLS, *, asks_for_password: bool = True
) -> Iterator[RunningSmtp]:
    """Run a mail server until the block is left; its throw-away certificate lies in `folder`."""
    server = RunningSmtp(folder, offers, asks_for_password=asks_for_password)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _cut(protocol: SMTP) -> None:
    # Behind STARTTLS there are two, and the one below outlives the other for a while.
    for transport in (protocol.transport, protocol._original_transport):  # it has no other name
        if isinstance(transport, asyncio.Transport):
            transport.abort()


def _taken(session: Session, envelope: Envelope, *, has_tls: bool) -> TakenLetter:
    content = envelope.content
    assert isinstance(content, bytes)
    login: Any = session.auth_data
    return TakenLetter(
        sender=envelope.mail_from or "",
        recipients=tuple(envelope.rcpt_tos),
        content=content,
        has_tls=has_tls,
        username=login.login.decode() if session.authenticated else None,
    )


def _check_password(  # noqa: PLR0917  # the library's shape
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
) -> AuthResult:
    is_right = (login.login, login.password) == (USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False, auth_data=login)


def _server_context(folder: Path, certificate_file: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback mail server")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file = folder / "smtp-key.pem"
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    with suppress(OSError):
        key_file.unlink()
    return context
