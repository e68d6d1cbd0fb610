"""Letters in a folder where there is no mail server."""

import asyncio
import os
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from mail.mailers import FolderMailer, MailRefused, MailUnavailable, make_mailer
from mail.messages import Letter
from mail.settings import MailSettings

MOMENT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)


def letter(**fields: Any) -> Letter:
    known: dict[str, Any] = {"id": "alert-1", "to": "asha@example.com", "subject": "TCS fell", "text": "below 100\n"}
    return Letter(**{**known, **fields}, dated_at=MOMENT)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*")) + sorted(folder.glob(".*"))


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "outbox"


@pytest.fixture
def file_in_the_way(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("in the way")
    return path


async def test_without_a_server_letters_lie_in_the_run_dir_for_their_owner_alone(tmp_path: Path, folder: Path) -> None:
    await make_mailer(MailSettings(run_dir=tmp_path / "run")).send(letter())
    (written,) = files(folder)
    assert written.name == "alert-1.eml"
    assert message_from_bytes(content_of(written), policy=default)["Subject"] == "TCS fell"
    assert (mode_of(written), mode_of(folder)) == (0o600, 0o700)


async def test_the_same_letter_replaces_its_file_and_another_has_its_own(folder: Path) -> None:
    mailer = FolderMailer(folder, "bourse@example.com")
    for _ in range(3):
        await mailer.send(letter())
    before = content_of(files(folder)[0])
    await asyncio.gather(mailer.send(letter()), mailer.send(letter()), mailer.send(letter(id="alert-2")))
    assert [each.name for each in files(folder)] == ["alert-1.eml", "alert-2.eml"]
    assert content_of(files(folder)[0]) == before


async def test_an_id_is_no_way_out_of_the_folder(folder: Path) -> None:
    mailer = FolderMailer(folder, "bourse@example.com")
    with pytest.raises(MailRefused):
        await mailer.send(letter(id="../../etc/x"))
    assert not files(folder)


async def test_a_letter_that_cannot_be_written_whole_is_not_there_at_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailer = FolderMailer(folder, "bourse@example.com")
    await mailer.send(letter(text="first\n"))
    before = content_of(files(folder)[0])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(MailUnavailable):
            await mailer.send(letter(text="second\n"))
    assert [content_of(each) for each in files(folder)] == [before]


async def test_a_folder_that_cannot_be_made_is_unavailable(
    file_in_the_way: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MailUnavailable):
        await FolderMailer(file_in_the_way / "outbox", "bourse@example.com").send(letter())
    assert "mail not written" in caplog.text
    assert "asha" not in caplog.text


async def test_what_is_no_address_is_refused_here_too(folder: Path) -> None:
    with pytest.raises(MailRefused):
        await FolderMailer(folder, "bourse@example.com").send(letter(to="asha"))
