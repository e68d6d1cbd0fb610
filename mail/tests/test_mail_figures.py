"""What a mailer counts."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from chassis.metrics import value_of
from chassis.testing import free_port, promised_metrics, told_metrics
from mail.mailers import FolderMailer, Mailer, MailRefused, MailUnavailable, make_mailer
from mail.messages import Letter
from mail.settings import MailSettings

README = Path(__file__).parents[1] / "README.md"
MOMENT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)


def letter(to: str = "asha@example.com") -> Letter:
    return Letter(id="alert-1", to=to, subject="TCS fell", text="below 100\n", dated_at=MOMENT)


def mails(outcome: str) -> float:
    return value_of("bourse_mails_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def nobody() -> Mailer:
    """Return what sends to a port where nobody listens."""
    return make_mailer(MailSettings(smtp_url=SecretStr(f"smtp://127.0.0.1:{free_port()}")))


async def test_letters_are_counted_by_what_became_of_them(tmp_path: Path, nobody: Mailer) -> None:
    folder = FolderMailer(tmp_path, "bourse@example.com")
    before = [mails(outcome) for outcome in ("sent", "unavailable", "refused")]
    taken = value_of("bourse_mail_seconds_count") or 0.0
    await folder.send(letter())
    with pytest.raises(MailUnavailable):
        await nobody.send(letter())
    for mailer in (folder, nobody):
        with pytest.raises(MailRefused):
            await mailer.send(letter("asha"))
    after = [mails(outcome) for outcome in ("sent", "unavailable", "refused")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 2]
    assert value_of("bourse_mail_seconds_count") == taken + 4


async def test_a_letter_that_nobody_waits_for_any_more_became_nothing() -> None:
    never = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    mailer = make_mailer(MailSettings(smtp_url=SecretStr(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}")))
    before = [mails(outcome) for outcome in ("sent", "unavailable", "refused")]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await mailer.send(letter())
    assert [mails(outcome) for outcome in ("sent", "unavailable", "refused")] == before
    never.set()
    server.close()
    await asyncio.sleep(0.05)


def test_the_readme_names_what_is_told() -> None:
    assert told_metrics("bourse_mail") == promised_metrics(README)
