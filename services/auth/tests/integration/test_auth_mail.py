"""Mails about accounts as people see them: real gRPC, NATS, databases and a mail server."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from auth.app import build
from auth.settings import Settings
from auth.storage.tables import METADATA
from bourse.auth.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    contacts_pb2,
    contacts_pb2_grpc,
    events_pb2,
    keys_pb2,
    keys_pb2_grpc,
    recovery_pb2,
    recovery_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)
from chassis import event_reader
from chassis.bus import EVENTS, Bus
from chassis.database import Database
from chassis.rpc_client import open_channel, reason_of, retry_after_of
from chassis.testing import NatsServer, free_port
from mail import mailers
from upstreams.google import google_server
from upstreams.smtp import RunningSmtp, SmtpFault, smtp_server

CONTRACTS = [
    accounts_pb2.DESCRIPTOR,
    sessions_pb2.DESCRIPTOR,
    keys_pb2.DESCRIPTOR,
    contacts_pb2.DESCRIPTOR,
    recovery_pb2.DESCRIPTOR,
]
EMAIL = "asha@example.com"
PASSWORD = "correct horse"
NEW_PASSWORD = "battery staple"
SITE = "https://bourse.example.com"
SENDING_SECONDS = 30.0


@pytest.fixture
def smtp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSmtp]:
    with smtp_server(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        yield server


@pytest.fixture
def settings(database_url: str, nats: NatsServer, smtp: RunningSmtp, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path / "run",
        nats_url=SecretStr(nats.url),
        auth_address=f"127.0.0.1:{free_port()}",
        auth_database_url=SecretStr(database_url),
        auth_argon2_memory_kib=64,
        auth_argon2_time_cost=1,
        smtp_url=SecretStr(smtp.url),
        public_url=SITE,
    )


class Person:
    """What the gateway does for somebody who reads mail."""

    def __init__(self, channel: grpc.aio.Channel, smtp: RunningSmtp) -> None:
        self.accounts = accounts_pb2_grpc.AccountServiceStub(channel)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(channel)
        self.keys = keys_pb2_grpc.KeyServiceStub(channel)
        self.contacts = contacts_pb2_grpc.ContactServiceStub(channel)
        self.recovery = recovery_pb2_grpc.RecoveryServiceStub(channel)
        self._smtp = smtp

    async def register(self, email: str = EMAIL) -> accounts_pb2.RegisterResponse:
        request = accounts_pb2.RegisterRequest(email=email, password=PASSWORD, client_address="192.0.2.1")
        return await self.accounts.Register(request)

    async def log_in(self, password: str) -> sessions_pb2.LogInResponse:
        return await self.sessions.LogIn(sessions_pb2.LogInRequest(email=EMAIL, password=password))

    async def forget(self, email: str = EMAIL, client_address: str = "192.0.2.1") -> None:
        request = recovery_pb2.RequestPasswordResetRequest(email=email, client_address=client_address)
        answer = await self.recovery.RequestPasswordReset(request)
        assert answer == recovery_pb2.RequestPasswordResetResponse()

    async def reset(self, token: str, password: str = NEW_PASSWORD) -> None:
        await self.recovery.ResetPassword(recovery_pb2.ResetPasswordRequest(token=token, password=password))

    async def verify(self, token: str) -> accounts_pb2.User:
        return (await self.recovery.VerifyEmail(recovery_pb2.VerifyEmailRequest(token=token))).user

    async def ask_for_verification(self, user_id: str) -> bool:
        request = recovery_pb2.RequestEmailVerificationRequest(user_id=user_id)
        return bool((await self.recovery.RequestEmailVerification(request)).is_email_verified)

    async def contact(self, user_id: str) -> contacts_pb2.Contact:
        return (await self.contacts.GetContact(contacts_pb2.GetContactRequest(user_id=user_id))).contact

    async def set_lists(self, user_id: str, *wanted: tuple[int, bool]) -> contacts_pb2.Contact:
        preferences: list[Any] = [{"list": number, "is_wanted": is_wanted} for number, is_wanted in wanted]
        request = contacts_pb2.SetMailListsRequest(
            user_id=user_id, preferences=[contacts_pb2.MailPreference(**each) for each in preferences]
        )
        return (await self.contacts.SetMailLists(request)).contact

    async def unsubscribe(self, token: str, mail_list: Any) -> None:
        await self.contacts.Unsubscribe(contacts_pb2.UnsubscribeRequest(token=token, list=mail_list))

    async def refused_sessions(self) -> set[str]:
        listed = await self.keys.ListRevocations(keys_pb2.ListRevocationsRequest())
        assert not [each for each in listed.revocations if each.user_id]
        return {each.session_id for each in listed.revocations}

    async def mailed_token(self, kind: str, *, number: int = 1) -> str:
        """Wait for the n-th mail whose link is of a kind, and read the token in it."""
        async with asyncio.timeout(SENDING_SECONDS):
            while len(found := self._links(kind)) < number:
                await asyncio.sleep(0.02)
        return found[number - 1].partition("=")[2]

    def _links(self, kind: str) -> list[str]:
        start = f"{SITE}/account#{kind}="
        texts = [body.get_content() for taken in self._smtp.letters if (body := taken.message.get_body(("plain",)))]
        return [line for text in texts for line in text.splitlines() if line.startswith(start)]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def start(stack: AsyncExitStack, settings: Settings, smtp: RunningSmtp) -> Person:
    await stack.enter_async_context(build(settings))
    channel = await stack.enter_async_context(open_channel(settings.auth_address, CONTRACTS, settings=settings))
    return Person(channel, smtp)


@pytest.fixture
async def person(stack: AsyncExitStack, settings: Settings, smtp: RunningSmtp) -> Person:
    return await start(stack, settings, smtp)


async def refused(call: object) -> tuple[str, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call  # type: ignore[misc]
    return refusal.value.code().name, reason_of(refusal.value)


def session_of(tokens: accounts_pb2.Tokens) -> str:
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    return str(claims["sid"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SENDING_SECONDS):
        while not holds():
            await asyncio.sleep(0.02)


def files_under(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def rows_of(settings: Settings) -> list[bytes]:
    """Return every row of auth's database, as texts and as bytes."""
    async with Database.open(settings.database_url) as database, database.reading() as connection:
        rows = [row for table in METADATA.sorted_tables for row in await connection.execute(select(table))]
    values = [value for row in rows for value in row]
    return [value if isinstance(value, bytes) else str(value).encode() for value in values]


INVALID_TOKEN = ("INVALID_ARGUMENT", "MAIL_TOKEN_INVALID")


async def test_a_registration_is_verified_by_the_mail_it_sends(person: Person, smtp: RunningSmtp) -> None:
    user = (await person.register()).user
    assert not user.is_email_verified
    token = await person.mailed_token("verify")
    (taken,) = smtp.letters
    assert (taken.recipients, taken.message["Subject"]) == ((EMAIL,), "Verify your e-mail address")
    verified = await person.verify(token)
    assert (verified.id, verified.is_email_verified) == (user.id, True)
    assert (await person.contact(user.id)).is_email_verified
    assert (await person.log_in(PASSWORD)).user == verified
    assert await refused(person.verify(token)) == INVALID_TOKEN
    assert await person.ask_for_verification(user.id) is True


async def test_a_forgotten_password_is_replaced_and_every_session_ended_but_new_ones(person: Person) -> None:
    registered = await person.register()
    other = await person.log_in(PASSWORD)
    await person.forget("Asha@EXAMPLE.com")
    token = await person.mailed_token("reset")
    assert await refused(person.reset(token, "short")) == ("INVALID_ARGUMENT", "PASSWORD_TOO_SHORT")
    assert await refused(person.reset(token, "x" * 1_025)) == ("INVALID_ARGUMENT", "PASSWORD_TOO_LONG")
    await person.reset(token)
    old = {session_of(registered.tokens), session_of(other.tokens)}
    assert await person.refused_sessions() == old
    for tokens in (registered.tokens, other.tokens):
        renewal = person.sessions.RefreshSession(sessions_pb2.RefreshSessionRequest(refresh_token=tokens.refresh_token))
        assert await refused(renewal) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    assert await refused(person.log_in(PASSWORD)) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    new = await person.log_in(NEW_PASSWORD)
    assert new.user.is_email_verified
    assert session_of(new.tokens) not in await person.refused_sessions()
    assert await refused(person.reset(token, "another password")) == INVALID_TOKEN


async def test_of_those_who_use_one_mail_at_once_one_succeeds(person: Person) -> None:
    await person.register()
    await person.forget()
    token = await person.mailed_token("reset")
    calls = (person.reset(token, f"{NEW_PASSWORD} {number}") for number in range(6))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [reason_of(each) for each in results if isinstance(each, grpc.aio.AioRpcError)] == ["MAIL_TOKEN_INVALID"] * 5
    await person.log_in(f"{NEW_PASSWORD} {results.index(None)}")


async def test_nobody_is_told_whether_an_address_has_an_account(person: Person, smtp: RunningSmtp) -> None:
    await person.register()
    await person.mailed_token("verify")
    await person.forget("nobody@example.com")
    for _ in range(7):
        await person.forget()
    await person.mailed_token("reset", number=5)
    await person.forget("nobody@example.com")
    await person.register("ravi@example.com")
    await until(lambda: any("ravi@example.com" in taken.recipients for taken in smtp.letters))
    assert {taken.recipients for taken in smtp.letters} == {(EMAIL,), ("ravi@example.com",)}
    assert len(smtp.letters) == 7


async def test_a_networks_share_of_requests_ends(stack: AsyncExitStack, settings: Settings, smtp: RunningSmtp) -> None:
    person = await start(stack, settings.model_copy(update={"auth_recovery_limit": "2/minute"}), smtp)
    for _ in range(2):
        await person.forget("nobody@example.com")
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await person.forget()
    assert (refusal.value.code().name, reason_of(refusal.value)) == ("RESOURCE_EXHAUSTED", "RECOVERY_THROTTLED")
    assert (retry_after_of(refusal.value) or 0) > 0
    await person.forget(client_address="192.0.2.77")


async def test_a_verification_can_be_asked_for_again_but_not_for_ever(person: Person) -> None:
    user_id = (await person.register()).user.id
    for _ in range(4):
        assert await person.ask_for_verification(user_id) is False
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await person.ask_for_verification(user_id)
    assert (refusal.value.code().name, reason_of(refusal.value)) == ("RESOURCE_EXHAUSTED", "RECOVERY_THROTTLED")
    assert 3_000 < (retry_after_of(refusal.value) or 0) <= 3_600
    tokens = {await person.mailed_token("verify", number=number) for number in range(1, 6)}
    assert len(tokens) == 5
    await person.verify(tokens.pop())
    assert await refused(person.verify(tokens.pop())) == INVALID_TOKEN


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 100_000, "é" * 43, "a\x00b"])
async def test_nonsense_is_no_token(person: Person, token: str) -> None:
    assert await refused(person.reset(token)) == INVALID_TOKEN
    assert await refused(person.verify(token)) == INVALID_TOKEN
    unsubscribing = person.unsubscribe(token, contacts_pb2.MAIL_LIST_ALERTS)
    assert await refused(unsubscribing) == ("INVALID_ARGUMENT", "UNSUBSCRIBE_TOKEN_INVALID")


@pytest.mark.parametrize("user_id", ["4711", "", "x" * 10_000, "a\x00b"])
async def test_an_unknown_user_is_not_found(person: Person, user_id: str) -> None:
    for call in (person.contact(user_id), person.set_lists(user_id), person.ask_for_verification(user_id)):
        assert await refused(call) == ("NOT_FOUND", "USER_NOT_FOUND")


async def test_lists_are_wanted_until_their_reader_or_a_mails_link_says_otherwise(person: Person) -> None:
    user_id = (await person.register()).user.id
    contact = await person.contact(user_id)
    alerts, summary = contacts_pb2.MAIL_LIST_ALERTS, contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY
    assert (contact.user_id, contact.email, contact.HasField("name")) == (user_id, EMAIL, False)
    assert [(each.list, each.is_wanted) for each in contact.preferences] == [(alerts, True), (summary, True)]
    assert len(contact.unsubscribe_token) == 43
    for _ in range(2):
        await person.unsubscribe(contact.unsubscribe_token, summary)
    changed = await person.set_lists(user_id, (alerts, False))
    assert [each.is_wanted for each in changed.preferences] == [False, False]
    both = (alerts, True), (summary, True)
    assert await refused(person.set_lists(user_id, *both)) == ("FAILED_PRECONDITION", "EMAIL_UNVERIFIED")
    await person.verify(await person.mailed_token("verify"))
    contact.is_email_verified = True
    assert await person.set_lists(user_id, *both) == contact
    for wrong in ([(0, True)], [(99, True)], [(alerts, True), (alerts, False)]):
        assert await refused(person.set_lists(user_id, *wrong)) == ("INVALID_ARGUMENT", "MAIL_LIST_INVALID")
    unknown = person.unsubscribe(contact.unsubscribe_token, contacts_pb2.MAIL_LIST_UNSPECIFIED)
    assert await refused(unknown) == ("INVALID_ARGUMENT", "MAIL_LIST_INVALID")
    assert await person.contact(user_id) == contact


async def test_google_accounts_are_verified_and_sent_nothing(
    stack: AsyncExitStack, settings: Settings, smtp: RunningSmtp
) -> None:
    with google_server() as google:
        changes = {"google_client_id": google.client_id, "google_jwks_url": google.jwks_url}
        person = await start(stack, settings.model_copy(update=changes), smtp)
        for email in (EMAIL, "asha.rao@example.com"):
            request = sessions_pb2.LogInWithGoogleRequest(id_token=google.upstream.id_token(email=email))
            user = (await person.sessions.LogInWithGoogle(request)).user
            assert (user.email, user.is_email_verified) == (email, True)
        assert (await person.contact(user.id)).is_email_verified
        assert await person.ask_for_verification(user.id) is True
        await person.forget("asha.rao@example.com")
        await person.register()
        await person.mailed_token("verify")
    assert [taken.recipients for taken in smtp.letters] == [(EMAIL,)]


@pytest.mark.parametrize("fault", [SmtpFault.GREYLIST, SmtpFault.DROP_AFTER_DATA, SmtpFault.HANG])
async def test_a_mail_that_could_not_be_sent_now_is_sent_later_with_a_good_token(
    settings: Settings, smtp: RunningSmtp, monkeypatch: pytest.MonkeyPatch, fault: SmtpFault
) -> None:
    monkeypatch.setattr(mailers.MailUnavailable, "retry_after_seconds", 0.1)
    async with AsyncExitStack() as stack:
        person = await start(stack, settings.model_copy(update={"mail_timeout_seconds": 1.0}), smtp)
        await _is_sent_later(person, smtp, fault)


async def _is_sent_later(person: Person, smtp: RunningSmtp, fault: SmtpFault) -> None:
    smtp.fail(fault, fault)
    await person.register()
    await until(lambda: smtp.tries >= 3)
    dropped = fault is SmtpFault.DROP_AFTER_DATA
    tokens = [await person.mailed_token("verify", number=number) for number in ((1, 2, 3) if dropped else (1,))]
    assert len(set(tokens)) == len(tokens)
    assert len({taken.message["Message-ID"] for taken in smtp.letters}) == 1
    assert (await person.verify(tokens[0])).is_email_verified


async def test_an_address_that_the_server_refuses_is_given_up_without_being_named(
    person: Person, smtp: RunningSmtp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    smtp.always_fail("gone@example.com", SmtpFault.REFUSE_RECIPIENT)
    await person.register("gone@example.com")
    await until(lambda: "mail given up as refused" in caplog.text)
    await person.register()
    token = await person.mailed_token("verify")
    assert smtp.tries == 2
    ours = [each for each in caplog.records if each.name.startswith(("auth.", "chassis.", "mail.mailers"))]
    written = "\n".join(f"{record.getMessage()} {vars(record)}" for record in ours)
    for secret in ("gone@example.com", EMAIL, token):
        assert secret not in written


async def test_a_mail_wanted_while_nats_was_away_is_sent_when_it_is_back(
    person: Person, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    nats.kill()
    await person.register()
    nats.start()
    await person.verify(await person.mailed_token("verify"))


async def test_a_mail_that_was_under_way_at_a_stop_is_sent_by_the_next_process(
    settings: Settings, smtp: RunningSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_reader, "ACK_SECONDS", 1.0)
    smtp.fail(SmtpFault.HANG)
    async with AsyncExitStack() as stack:
        person = await start(stack, settings, smtp)
        await person.register()
        await until(lambda: smtp.tries == 1)
    moved = settings.model_copy(update={"auth_address": f"127.0.0.1:{free_port()}"})
    async with AsyncExitStack() as stack:
        person = await start(stack, moved, smtp)
        await person.verify(await person.mailed_token("verify"))


@pytest.mark.parametrize("payload", [b"\xff", b"", events_pb2.MailWanted(id="m", user_id="1").SerializeToString()])
async def test_what_wants_no_mail_is_given_up(
    person: Person, settings: Settings, caplog: pytest.LogCaptureFixture, payload: bytes
) -> None:
    async with Bus.open(settings, name="test", streams=[EVENTS]) as bus:
        await bus.wait_until_ready()
        await bus.publish_event("events.auth.mail_wanted", payload, message_id="nonsense")
        await until(lambda: "event unreadable" in caplog.text)
    await person.register()
    await person.mailed_token("verify")


async def test_without_a_mail_server_mails_lie_in_a_folder(
    stack: AsyncExitStack, settings: Settings, smtp: RunningSmtp
) -> None:
    person = await start(stack, settings.model_copy(update={"smtp_url": None}), smtp)
    await person.register()
    outbox = settings.run_dir / "outbox"
    await until(lambda: bool(list(outbox.glob("verify-email-*.eml"))))
    assert not smtp.letters


async def test_no_token_is_kept_but_its_digest(person: Person, settings: Settings, tmp_path: Path) -> None:
    await person.register()
    await person.forget()
    tokens = [await person.mailed_token("verify"), await person.mailed_token("reset")]
    kept = [*files_under(tmp_path), *await rows_of(settings)]
    assert EMAIL.encode() in kept
    digests = [hashlib.sha256(token.encode()).digest() for token in tokens]
    assert all(digest in kept for digest in digests)
    assert not [content for content in kept for token in tokens if token.encode() in content]
