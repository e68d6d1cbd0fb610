"""What operators can set for services that send mail."""

from dataclasses import dataclass
from email.utils import getaddresses
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from chassis.settings import LOOPBACK_HOSTS, ProcessSettings
from mail.messages import mailbox_of

DEFAULT_PORTS = {"smtp": 587, "smtps": 465}


class SmtpUrlInvalid(ValueError):
    """An address of a mail server that cannot be used; the message never repeats it, for it may hold a password."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"SMTP_URL {problem}; write smtp://user:password@host:587 or smtps://host")


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server.

    Attributes:
        has_tls: TLS from the first byte.
        needs_starttls: refuse to go on without STARTTLS; else it is used where it is offered.
        username: absent when the server asks for no log-in.
    """

    host: str
    port: int
    has_tls: bool
    needs_starttls: bool
    is_starttls_off: bool
    username: str | None
    password: SecretStr | None


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp://` or `smtps://`, with `?starttls=off` for a server on a trusted network that has none.

    Raises:
        SmtpUrlInvalid: it is neither, or would send a password in clear outside loopback.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SmtpUrlInvalid("has no usable port or host") from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise SmtpUrlInvalid("is not the address of a mail server")
    options = parse_qsl(parts.query, keep_blank_values=True)
    if parts.path not in ("", "/") or parts.fragment or options not in ([], [("starttls", "off")]):
        raise SmtpUrlInvalid("has a part that means nothing (only ?starttls=off does)")
    if port == 0 or not _are_credentials_usable(parts.username, parts.password):
        raise SmtpUrlInvalid("has a port, a user or a password that cannot be used")
    is_off = bool(options)
    is_local = parts.hostname in LOOPBACK_HOSTS
    has_tls = parts.scheme == "smtps"
    if is_off and has_tls:
        raise SmtpUrlInvalid("has TLS from the first byte, so that STARTTLS means nothing")
    if is_off and parts.username and not is_local:
        raise SmtpUrlInvalid("would send a password in clear")
    return SmtpServer(
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        has_tls=has_tls,
        needs_starttls=not has_tls and not is_off and not is_local,
        is_starttls_off=has_tls or is_off,
        username=unquote(parts.username) if parts.username else None,
        password=SecretStr(unquote(parts.password)) if parts.password else None,
    )


def _is_mailbox(text: str) -> bool:
    try:
        mailbox_of(text)
    except ValueError:
        return False
    return True


def _are_credentials_usable(username: str | None, password: str | None) -> bool:
    if username is None and password is None:
        return True
    return all(quoted and unquote(quoted).isprintable() for quoted in (username, password))


class MailSettings(ProcessSettings):
    """What is common to processes that send mail.

    Attributes:
        smtp_url: the mail server; unset means that messages are written to RUN_DIR/outbox.
        mail_from: who messages come from, `Name <address>` or an address.
        mail_timeout_seconds: how long the server may take for a message.
        mail_verified_only: True sends what users ask for (alerts, summaries) to verified addresses alone.
        public_url: where people reach the gateway, for links in messages.
    """

    smtp_url: SecretStr | None = None
    mail_from: str = "Bourse <bourse@localhost>"
    mail_timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    mail_verified_only: bool = False
    public_url: str = "http://127.0.0.1:8000"

    @field_validator("mail_from")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        addresses = getaddresses([text])
        if len(addresses) != 1 or not text.isprintable() or not _is_mailbox(addresses[0][1]):
            raise ValueError("MAIL_FROM must be one address, such as Bourse <bourse@example.com>")
        return text

    @field_validator("public_url")
    @classmethod
    def _is_a_web_address(cls, text: str) -> str:
        parts = urlsplit(text)
        if not text.isprintable() or " " in text or parts.username is not None:
            raise ValueError("PUBLIC_URL must be a web address, such as https://api.example.com")
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("PUBLIC_URL must be a web address, such as https://api.example.com")
        return text.rstrip("/")

    @model_validator(mode="after")
    def _smtp_url_is_usable(self) -> Self:
        if self.smtp_url is not None:
            parse_smtp_url(self.smtp_url.get_secret_value())
        return self
