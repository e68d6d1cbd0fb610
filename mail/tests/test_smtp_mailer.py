"""Sending to a real server on loopback."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.errors import ServiceError
from chassis.testing import free_port
from mail.mailers import MAX_CONNECTIONS, Mailer, MailRefused, MailUnavailable, SmtpMailer, make_mailer
from mail.messages import Letter
from mail.settings import MailSettings, SmtpServer
from upstreams.smtp import PASSWORD, USERNAME, Offers, RunningSmtp, SmtpFault, smtp_server

MOMENT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
READER = "asha@example.com"


def letter(letter_id: str = "alert-1", to: str = READER, **fields: Any) -> Letter:
    return Letter(id=letter_id, to=to, subject="TCS fell", text="below 100\n", dated_at=MOMENT, **fields)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "smtp-certificate.pem"))


@pytest.fixture
def smtp(trusted: None, tmp_path: Path) -> Iterator[RunningSmtp]:
    with smtp_server(tmp_path) as server:
        yield server


def settings(url: str, **fields: Any) -> MailSettings:
    return MailSettings(smtp_url=SecretStr(url), mail_from="Bourse <bourse@example.com>", **fields)


async def refusal(mailer: Mailer, sent: Letter | None = None) -> ServiceError:
    with pytest.raises(ServiceError) as refused:
        await mailer.send(letter() if sent is None else sent)
    return refused.value


async def test_a_letter_goes_over_starttls_with_a_password(smtp: RunningSmtp) -> None:
    await make_mailer(settings(smtp.url)).send(letter(headers={"List-Unsubscribe": "<https://example.com/u?t=1>"}))
    (taken,) = smtp.letters
    assert (taken.sender, taken.recipients) == ("bourse@example.com", (READER,))
    assert (taken.has_tls, taken.username) == (True, USERNAME)
    assert taken.message["Subject"] == "TCS fell"
    assert taken.message["Message-ID"] == "<alert-1@example.com>"
    assert taken.message["List-Unsubscribe"] == "<https://example.com/u?t=1>"


async def test_a_letter_goes_over_tls_from_the_first_byte(trusted: None, tmp_path: Path) -> None:
    with smtp_server(tmp_path, Offers.TLS) as smtp:
        await make_mailer(settings(smtp.url)).send(letter())
    assert (smtp.letters[0].has_tls, smtp.letters[0].username) == (True, USERNAME)


@pytest.mark.parametrize("query", ["", "?starttls=off"])
async def test_on_loopback_a_server_without_tls_will_do(tmp_path: Path, query: str) -> None:
    with smtp_server(tmp_path, Offers.NOTHING) as smtp:
        await make_mailer(settings(smtp.url + query)).send(letter())
    assert not smtp.letters[0].has_tls


async def test_a_server_that_asks_for_no_password_gets_none(trusted: None, tmp_path: Path) -> None:
    with smtp_server(tmp_path, asks_for_password=False) as smtp:
        await make_mailer(settings(smtp.url)).send(letter())
    assert smtp.letters[0].username is None


async def test_elsewhere_nothing_is_said_to_a_server_that_offers_no_tls(tmp_path: Path) -> None:
    with smtp_server(tmp_path, Offers.NOTHING) as smtp:
        elsewhere = SmtpServer(
            host="127.0.0.1",
            port=smtp.port,
            has_tls=False,
            needs_starttls=True,
            is_starttls_off=False,
            username=USERNAME,
            password=SecretStr(PASSWORD),
        )
        mailer = SmtpMailer(elsewhere, "bourse@example.com", timeout_seconds=10)
        assert isinstance(await refusal(mailer), MailUnavailable)
        assert (smtp.tries, smtp.letters) == (0, [])


@pytest.mark.parametrize("offers", [Offers.STARTTLS, Offers.TLS])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, offers: Offers) -> None:
    with smtp_server(tmp_path, offers) as smtp:
        assert isinstance(await refusal(make_mailer(settings(smtp.url))), MailUnavailable)
        assert not smtp.tries


async def test_letters_after_one_another_and_at_once_all_arrive(smtp: RunningSmtp) -> None:
    mailer = make_mailer(settings(smtp.url))
    await asyncio.gather(*(mailer.send(letter(f"alert-{number}")) for number in range(2 * MAX_CONNECTIONS + 1)))
    assert len({taken.message["Message-ID"] for taken in smtp.letters}) == 2 * MAX_CONNECTIONS + 1


@pytest.mark.parametrize("fault", [SmtpFault.REFUSE_RECIPIENT, SmtpFault.REFUSE_LETTER])
async def test_what_the_server_refuses_for_good_is_refused(smtp: RunningSmtp, fault: SmtpFault) -> None:
    smtp.fail(fault)
    refused = await refusal(make_mailer(settings(smtp.url)))
    assert isinstance(refused, MailRefused)
    assert refused.reason == "MAIL_REFUSED"


@pytest.mark.parametrize("fault", [SmtpFault.GREYLIST, SmtpFault.REFUSE_SENDER, SmtpFault.DROP_AFTER_DATA])
async def test_what_may_be_taken_later_can_be_sent_again(smtp: RunningSmtp, fault: SmtpFault) -> None:
    smtp.fail(fault)
    mailer = make_mailer(settings(smtp.url))
    unavailable = await refusal(mailer)
    assert isinstance(unavailable, MailUnavailable)
    assert unavailable.retry_after_seconds
    await mailer.send(letter())
    assert len({taken.content for taken in smtp.letters}) == 1


async def test_a_letter_whose_answer_was_lost_is_the_same_when_it_comes_again(smtp: RunningSmtp) -> None:
    smtp.fail(SmtpFault.DROP_AFTER_DATA)
    mailer = make_mailer(settings(smtp.url))
    await refusal(mailer)
    await mailer.send(letter())
    first, second = smtp.letters
    assert first.content == second.content


@pytest.mark.parametrize("seconds", [1, 10])
async def test_a_letter_that_was_taken_is_sent_though_nobody_says_good_bye(smtp: RunningSmtp, seconds: float) -> None:
    smtp.fail(SmtpFault.HANG_AT_QUIT)
    await make_mailer(settings(smtp.url, mail_timeout_seconds=seconds)).send(letter())
    assert len(smtp.letters) == 1


async def test_lines_that_begin_with_a_dot_arrive_as_they_are(smtp: RunningSmtp) -> None:
    sent = Letter(id="dots", to=READER, subject="Dots", text=".\n..\n.a\nb.\n", dated_at=MOMENT)
    await make_mailer(settings(smtp.url)).send(sent)
    assert smtp.letters[0].message.get_content().replace("\r\n", "\n") == sent.text


@asynccontextmanager
async def answering(answers: Mapping[str, str]) -> AsyncIterator[str]:
    """Run a server that answers each command as it is told, or as one does that takes everything; give its URL."""
    usual = {"greeting": "220 here", "EHLO": "250 here", "DATA": "354 go ahead", "QUIT": "221 bye"}

    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        step = "greeting"
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while step:
                reply = answers.get(step) or usual.get(step, "250 OK")
                writer.write(f"{reply}\r\n".encode())
                is_letter_next = reply.startswith("354")
                received = await (reader.readuntil(b"\r\n.\r\n") if is_letter_next else reader.readline())
                step = "letter" if is_letter_next else received.decode().strip().partition(" ")[0].upper()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await over.wait()


NO_LETTERS_FAULT = [
    {"greeting": "554 no service here"},
    {"greeting": "550 go away"},
    {"EHLO": "550 who are you", "HELO": "550 who are you"},
    {"EHLO": "250-here\r\n250 STARTTLS", "STARTTLS": "554 TLS is broken"},
    {"EHLO": "250-here\r\n250 STARTTLS", "STARTTLS": "501 not that way"},
    {"MAIL": "550 5.1.7 not yours"},
    {"MAIL": "552 5.3.4 too big"},
    {"RCPT": "451 4.7.1 greylisted"},
    {"RCPT": "421 4.3.2 closing"},
    {"RCPT": "550 5.7.1 relaying denied"},
    {"RCPT": "554 5.7.1 relay denied"},
    {"RCPT": "550-5.7.26 first line\r\n550 5.7.26 second"},
    {"RCPT": "550 4.2.1 says two things"},
    {"RCPT": "554 no"},
    {"RCPT": "503 not now"},
    {"RCPT": "552 mailbox full"},
    {"DATA": "503 bad sequence"},
    {"DATA": "554 no valid recipients"},
    {"DATA": "250 what"},
    {"letter": "451 4.3.0 later"},
    {"letter": "421 closing"},
]


@pytest.mark.parametrize("answers", NO_LETTERS_FAULT, ids=str)
async def test_a_fault_that_is_not_the_letters_can_be_mended(answers: dict[str, str]) -> None:
    async with answering(answers) as url:
        assert isinstance(await refusal(make_mailer(settings(url))), MailUnavailable)


REFUSED_FOR_GOOD = [
    {"RCPT": "550 5.1.1 no such mailbox"},
    {"RCPT": "550 no such mailbox"},
    {"RCPT": "551 moved away"},
    {"RCPT": "553 no name of a mailbox"},
    {"RCPT": "554 5.1.2 no such host"},
    {"RCPT": "552 5.2.2 mailbox full"},
    {"letter": "550 no"},
    {"letter": "552 5.3.4 too big"},
    {"letter": "554 5.7.1 looks like spam"},
]


@pytest.mark.parametrize("answers", REFUSED_FOR_GOOD, ids=str)
async def test_a_letter_is_given_up_for_its_recipient_or_itself_alone(answers: dict[str, str]) -> None:
    async with answering(answers) as url:
        assert isinstance(await refusal(make_mailer(settings(url))), MailRefused)


async def test_a_server_that_takes_everything_is_sent_to() -> None:
    async with answering({"RCPT": "251 will forward"}) as url:
        await make_mailer(settings(url)).send(letter())


async def test_a_server_that_hangs_is_left_when_the_time_is_over(smtp: RunningSmtp) -> None:
    smtp.fail(SmtpFault.HANG)
    mailer = make_mailer(settings(smtp.url, mail_timeout_seconds=1))
    async with asyncio.timeout(20):
        assert isinstance(await refusal(mailer), MailUnavailable)
        await mailer.send(letter())


async def test_a_server_that_says_nothing_at_all_is_left_too() -> None:
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    mailer = make_mailer(settings(f"smtp://127.0.0.1:{port}", mail_timeout_seconds=0.5))
    async with asyncio.timeout(20):
        assert isinstance(await refusal(mailer), MailUnavailable)
    over.set()
    silent.close()
    await asyncio.sleep(0.05)


async def test_a_server_that_is_away_or_speaks_something_else_is_unavailable() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    ports = [free_port(), other.sockets[0].getsockname()[1]]
    for port in ports:
        mailer = make_mailer(settings(f"smtp://127.0.0.1:{port}", mail_timeout_seconds=5))
        assert isinstance(await refusal(mailer), MailUnavailable)
    other.close()
    await asyncio.sleep(0.05)


async def test_one_refused_address_holds_up_nobody_else(smtp: RunningSmtp) -> None:
    smtp.always_fail("gone@example.com", SmtpFault.REFUSE_RECIPIENT)
    mailer = make_mailer(settings(smtp.url))
    for _ in range(2):
        assert isinstance(await refusal(mailer, letter(to="gone@example.com")), MailRefused)
    await mailer.send(letter())
    assert len(smtp.letters) == 1


@pytest.mark.parametrize(
    "address", ["asha", "asha@", "@example.com", "a\r\nBcc: ravi@example.com", "a b@example.com", "", "a@b@c"]
)
async def test_what_is_no_address_is_refused_before_anything_is_sent(smtp: RunningSmtp, address: str) -> None:
    assert isinstance(await refusal(make_mailer(settings(smtp.url)), letter(to=address)), MailRefused)
    assert not smtp.tries


async def test_a_domain_with_other_letters_is_written_to_in_its_ascii_form(smtp: RunningSmtp) -> None:
    await make_mailer(settings(smtp.url)).send(letter(to="asha@bücher.example"))
    (taken,) = smtp.letters
    assert taken.recipients == ("asha@xn--bcher-kva.example",)
    assert taken.message["To"] == "asha@xn--bcher-kva.example"


async def test_an_address_that_needs_smtputf8_is_refused(smtp: RunningSmtp) -> None:
    assert isinstance(await refusal(make_mailer(settings(smtp.url)), letter(to="आशा@example.com")), MailRefused)


async def test_neither_credentials_nor_addresses_are_in_errors_or_logs(
    smtp: RunningSmtp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = smtp.url.replace("horse", "donkey")
    told: list[str] = []
    for url, fault in (
        (smtp.url, SmtpFault.REFUSE_RECIPIENT),
        (smtp.url, SmtpFault.GREYLIST),
        (smtp.url, SmtpFault.DROP_AFTER_DATA),
        (wrong, None),
    ):
        smtp.fail(*([fault] if fault else []))
        mailer = make_mailer(settings(url))
        error = await refusal(mailer)
        chain = [error, error.__cause__, None if error.__suppress_context__ else error.__context__]
        told += [repr(mailer), repr(settings(url)), *map(repr, chain), error.message]
    # The server of this test is in the same process, and logs as the library it is made of does.
    ours = [record for record in caplog.records if record.name != "mail.log"]
    written = "\n".join([*told, *(record.getMessage() for record in ours), *(str(vars(record)) for record in ours)])
    for secret in ("horse", "donkey", PASSWORD, READER):
        assert secret not in written
    assert "mail not sent" in written


async def test_a_wrong_password_is_ours_to_mend_and_the_letter_waits(smtp: RunningSmtp) -> None:
    assert isinstance(await refusal(make_mailer(settings(smtp.url.replace("horse", "donkey")))), MailUnavailable)
    assert not smtp.tries
