"""Two ways of sending a letter: to a mail server, and into a folder where there is none."""

import asyncio
import logging
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Protocol

import aiosmtplib

from chassis.errors import Code, ServiceError
from chassis.metrics import counter, histogram
from chassis.tracing import SpanKind, span
from mail.messages import Letter, compose, mailbox_of
from mail.settings import MailSettings, SmtpServer, parse_smtp_url

log = logging.getLogger(__name__)

_MAILS = counter("bourse_mails", "Letters given to a mailer, by what became of them.", ["outcome"])
_SENT, _UNAVAILABLE, _REFUSED = (_MAILS.labels(outcome) for outcome in ("sent", "unavailable", "refused"))
_SECONDS = histogram("bourse_mail_seconds", "Sending one letter, waiting for a free connection included.")

MAX_CONNECTIONS = 8
OUTBOX = "outbox"
PERMANENT = range(500, 600)
RETRY_SECONDS = 30.0
QUIT_SECONDS = 1.0
GO_AHEAD = 354
TAKEN = 250
# No such mailbox, moved away, no mailbox's name: what RFC 5321 has for a recipient, where no enhanced status says more.
NO_SUCH_RECIPIENT = frozenset({550, 551, 553})
# RFC 3463: what the server allows, which is between it and us (a relay that is denied, a sender that is not trusted).
POLICY = "7"

_UNSAFE = re.compile(r"[^\w.-]")
_ENHANCED_STATUS = re.compile(r"([245])\.(\d{1,3})\.\d{1,3}(?!\S)")
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)


class MailUnavailable(ServiceError):
    """The mail server did not take the letter now; later it may."""

    code = Code.UNAVAILABLE
    reason = "MAIL_UNAVAILABLE"
    retry_after_seconds = RETRY_SECONDS

    def __init__(self) -> None:
        super().__init__("mail cannot be sent at the moment; try again shortly")


class MailRefused(ServiceError):
    """The letter will not be taken, however often it is sent: a bad address, or one the server refuses for good."""

    code = Code.INVALID_ARGUMENT
    reason = "MAIL_REFUSED"

    def __init__(self) -> None:
        super().__init__("the mail server refuses this address")


class _LetterRefused(Exception):
    """The server had the whole letter and answered that it does not take it."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


class Mailer(Protocol):
    """Sends letters."""

    async def send(self, letter: Letter) -> None:
        """Return when the letter was taken, so that it is not lost when we die.

        Raises:
            MailUnavailable: it was not taken, or that is not known; sending it again is the same letter.
            MailRefused: it will never be taken.
        """


def make_mailer(settings: MailSettings) -> Mailer:
    """Return what SMTP_URL asks for; without it, the folder `RUN_DIR/outbox`."""
    if settings.smtp_url is None:
        return FolderMailer(settings.run_dir / OUTBOX, settings.mail_from)
    server = parse_smtp_url(settings.smtp_url.get_secret_value())
    return SmtpMailer(server, settings.mail_from, timeout_seconds=settings.mail_timeout_seconds)


class SmtpMailer:
    """Sends to a mail server, over a connection of its own for each letter, a few at once."""

    def __init__(self, server: SmtpServer, sender: str, *, timeout_seconds: float) -> None:
        self._server = server
        self._sender = sender
        self._timeout_seconds = timeout_seconds
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)

    async def send(self, letter: Letter) -> None:
        """Hand a letter to the server and wait until it says that it has it."""
        with _counted(), span("mail send", SpanKind.CLIENT):
            await self._send(letter)

    async def _send(self, letter: Letter) -> None:
        message = _composed(letter, self._sender).as_bytes()
        client = self._client()
        async with self._places:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    await client.connect()
                    await self._hand_over(client, message, mailbox_of(letter.to))
            except (OSError, TimeoutError) as error:
                raise _refusal(error) from None
            except (aiosmtplib.SMTPException, _LetterRefused) as error:
                await _part(client)
                raise _refusal(error) from None
            else:
                await _part(client)
            finally:
                client.close()

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        starttls = True if server.needs_starttls else False if server.is_starttls_off else None
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.has_tls,
            start_tls=starttls,
            username=server.username,
            password=server.password.get_secret_value() if server.password else None,
            timeout=self._timeout_seconds,
        )

    async def _hand_over(self, client: aiosmtplib.SMTP, message: bytes, to: str) -> None:
        options = [f"size={len(message)}"] if client.supports_extension("size") else []
        await client.mail(mailbox_of(parseaddr(self._sender)[1]), options=options)
        await client.rcpt(to)
        started = await client.execute_command(b"DATA")
        if started.code != GO_AHEAD:
            raise aiosmtplib.SMTPDataError(started.code, started.message)
        # The library's own `data` has one error for a refused DATA and a refused letter, which mean different things.
        protocol = client.protocol
        if protocol is None:
            raise aiosmtplib.SMTPServerDisconnected("")
        protocol.write(_LEADING_DOT.sub(b"..", message) + b".\r\n")
        answer = await protocol.read_response(timeout=self._timeout_seconds)
        if answer.code != TAKEN:
            raise _LetterRefused(answer.code)


class FolderMailer:
    """Writes letters as `.eml` files, each whole or not at all; the same letter again replaces its file."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, letter: Letter) -> None:
        """Write a letter and wait until it is on the disk."""
        with _counted(), span("mail write", SpanKind.CLIENT):
            await self._send(letter)

    async def _send(self, letter: Letter) -> None:
        content = _composed(letter, self._sender).as_bytes()
        name = _UNSAFE.sub("_", letter.id)
        try:
            await asyncio.to_thread(self._write, name, content)
        except OSError as error:
            log.warning("mail not written", extra={"cause": type(error).__name__})
            raise MailUnavailable from error

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Two may write one letter at once: each has a file of its own until it is whole.
        unfinished = self._folder / f".{name}.{uuid.uuid4().hex}"
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._folder / f"{name}.eml")
            self._flush_names()
        finally:
            unfinished.unlink(missing_ok=True)

    def _flush_names(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def _counted() -> Iterator[None]:
    try:
        with _SECONDS.time():
            yield
    except MailUnavailable:
        _UNAVAILABLE.inc()
        raise
    except MailRefused:
        _REFUSED.inc()
        raise
    _SENT.inc()


def _composed(letter: Letter, sender: str) -> EmailMessage:
    try:
        return compose(letter, sender)
    except ValueError as error:
        raise MailRefused from error


async def _part(client: aiosmtplib.SMTP) -> None:
    # What becomes of the letter is known by now: nothing that goes wrong here may change it.
    with suppress(OSError, TimeoutError, aiosmtplib.SMTPException):
        async with asyncio.timeout(QUIT_SECONDS):
            await client.quit()


def _refusal(error: Exception) -> ServiceError:
    """Say whether it can be tried again; the server's words may hold an address and stay here."""
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException | _LetterRefused) else None
    log.warning("mail not sent", extra={"cause": type(error).__name__, "smtp_code": code})
    # All else is between the server and us, and a letter is not to be lost by what operators can mend.
    return MailRefused() if _is_for_good(error) else MailUnavailable()


def _is_for_good(error: Exception) -> bool:
    if isinstance(error, _LetterRefused):
        return error.code in PERMANENT
    return isinstance(error, aiosmtplib.SMTPRecipientRefused) and _is_no_recipient(error.code, error.message)


def _is_no_recipient(code: int, words: str) -> bool:
    if code not in PERMANENT:
        return False
    status = _ENHANCED_STATUS.match(words)
    if status is None:
        return code in NO_SUCH_RECIPIENT
    return status[1] == "5" and status[2] != POLICY
