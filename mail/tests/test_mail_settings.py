"""The mail server's address and what stands around it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mail.settings import MailSettings, SmtpServer, SmtpUrlInvalid, parse_smtp_url


def shape(server: SmtpServer) -> tuple[Any, ...]:
    password = server.password.get_secret_value() if server.password else None
    tls = "tls" if server.has_tls else "starttls" if server.needs_starttls else "off" if server.is_starttls_off else "?"
    return server.host, server.port, tls, server.username, password


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.com", ("mail.example.com", 587, "starttls", None, None)),
        ("smtp://mail.example.com:25/", ("mail.example.com", 25, "starttls", None, None)),
        ("smtp://u:p@mail.example.com", ("mail.example.com", 587, "starttls", "u", "p")),
        ("smtp://u%40x.com:p%2F%3A%40@mail.example.com", ("mail.example.com", 587, "starttls", "u@x.com", "p/:@")),
        ("smtps://u:p@mail.example.com", ("mail.example.com", 465, "tls", "u", "p")),
        ("smtps://mail.example.com:2465", ("mail.example.com", 2465, "tls", None, None)),
        ("smtp://mail.example.com?starttls=off", ("mail.example.com", 587, "off", None, None)),
        ("smtp://127.0.0.1:1025", ("127.0.0.1", 1025, "?", None, None)),
        ("smtp://u:p@localhost:1025", ("localhost", 1025, "?", "u", "p")),
        ("smtp://u:p@localhost:1025?starttls=off", ("localhost", 1025, "off", "u", "p")),
        ("smtp://[::1]:1025", ("::1", 1025, "?", None, None)),
    ],
)
def test_an_address_says_where_and_how(url: str, expected: tuple[Any, ...]) -> None:
    assert shape(parse_smtp_url(url)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://hunter2@mail.example.com",
        "smtp://",
        "smtp://u:hunter2@",
        "smtp://u:hunter2@mail.example.com:0",
        "smtp://u:hunter2@mail.example.com:99999",
        "smtp://u:hunter2@mail.example.com:port",
        "smtp://u:hunter2@mail.example.com/path",
        "smtp://u:hunter2@mail.example.com#f",
        "smtp://u:hunter2@mail.example.com?starttls=on",
        "smtp://u:hunter2@mail.example.com?starttls=off",
        "smtp://u:hunter2@mail.example.com?starttls=off&starttls=off",
        "smtp://u:hunter2@mail.example.com?x=",
        "smtp://u@mail.example.com",
        "smtp://:hunter2@mail.example.com",
        "smtp://u:hunter2@[::1",
        "smtps://u:hunter2@mail.example.com?starttls=off",
        "smtp://u:hun%0D%0Ater2@mail.example.com",
    ],
)
def test_what_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SmtpUrlInvalid) as refused:
        parse_smtp_url(url)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValidationError) as invalid:
        MailSettings(smtp_url=url)
    assert "hunter2" not in str(invalid.value)


def test_a_password_is_shown_nowhere() -> None:
    settings = MailSettings(smtp_url="smtp://u:hunter2@mail.example.com")
    assert "hunter2" not in repr(settings) + str(settings.model_dump())
    assert settings.smtp_url is not None
    assert "hunter2" not in repr(parse_smtp_url(settings.smtp_url.get_secret_value()))


@pytest.mark.parametrize("sender", ["", "Bourse", "x\r\nBcc: a@b.c", "a@b.c, d@e.f", "Bourse <>", "a@"])
def test_a_sender_is_one_address(sender: str) -> None:
    with pytest.raises(ValidationError, match="MAIL_FROM"):
        MailSettings(mail_from=sender)


@pytest.mark.parametrize(
    "address",
    ["example.com", "ftp://example.com", "https://", "https://e.com?x", "https://e.com#x", "https://e.com/\n"],
)
def test_a_public_address_is_a_web_address(address: str) -> None:
    with pytest.raises(ValidationError, match="PUBLIC_URL"):
        MailSettings(public_url=address)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"PUBLIC_URL": "https://example.com/bourse/", "MAIL_FROM": "a@b.c", "SMTP_URL": ""}.items():
        monkeypatch.setenv(name, value)
    settings = MailSettings()
    assert (settings.public_url, settings.mail_from, settings.smtp_url) == ("https://example.com/bourse", "a@b.c", None)
