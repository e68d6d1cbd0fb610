"""Fires told by mail, over real servers: NATS, gRPC, SMTP; and by a process that is killed."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import grpc
import nats as nats_client
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import SecretStr
from sqlalchemy import update

from alerts.app import build
from alerts.domain.deliveries import Contact, ContactsUnavailable
from alerts.feed.mails import DURABLE
from alerts.messages import FIRED_SUBJECT
from alerts.providers.contacts import AuthContacts
from alerts.settings import Settings
from alerts.storage.tables import DELIVERIES
from alerts.testing import SmallAuth, SmallMarket, TickPublisher, ended_account
from bourse.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from bourse.auth.v1 import contacts_pb2, contacts_pb2_grpc
from chassis.database import Database
from chassis.rpc_client import open_channel
from chassis.testing import NatsServer, free_port, python_module, stop_process

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
PATIENCE_SECONDS = 30.0
SERVING = health_pb2.HealthCheckResponse.SERVING

Value = TypeVar("Value")


async def eventually(ask: Callable[[], Awaitable[Value | None]]) -> Value:
    """Ask again and again until the answer is not None."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (value := await ask()) is None:
            await asyncio.sleep(0.02)
    return value


class Post:
    """An SMTP server that keeps what it takes, and refuses or fails as it is told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken: list[tuple[str, bytes]] = []
        self.refused: set[str] = set()
        self.busy: set[str] = set()
        self.before_answer: Callable[[], None] = lambda: None

    async def handle_RCPT(  # noqa: PLR0917  # aiosmtpd's name and shape
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if address in self.refused:
            return "550 no such mailbox"
        if address in self.busy:
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # its name
        del server, session
        content = envelope.original_content or b""
        self.taken.extend((address, content) for address in envelope.rcpt_tos)
        self.before_answer()
        return "250 OK"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(self, loop=loop, ident="test"), "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    def messages(self, user: str) -> list[bytes]:
        return [content for address, content in self.taken if address == f"{user}@example.com"]

    async def received(self, user: str, count: int = 1) -> list[bytes]:
        async def look() -> list[bytes] | None:
            found = self.messages(user)
            return found if len(found) >= count else None

        return await eventually(look)


class World:
    """Alerts with everything it speaks to, and a caller."""

    def __init__(self, settings: Settings, channel: grpc.aio.Channel, client: Client) -> None:
        self.settings = settings
        self.auth = SmallAuth()
        self.post = Post(int((settings.smtp_url or SecretStr("")).get_secret_value().partition("?")[0].split(":")[-1]))
        self.client = client
        self._stub = alerts_pb2_grpc.AlertServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._publisher = TickPublisher(client, epoch=int(START.timestamp() * 1e6))

    async def ready(self) -> None:
        async def look() -> bool | None:
            try:
                answers = [
                    await self._health.Check(
                        health_pb2.HealthCheckRequest(service=service), timeout=5, wait_for_ready=True
                    )
                    for service in ("matcher", "mails")
                ]
            except grpc.aio.AioRpcError:
                return None
            return True if all(answer.status == SERVING for answer in answers) else None

        await eventually(look)

    async def fire(self, *users: str, symbol: str = "AAPL", note: str = "half") -> None:
        """Set an alert of each user and let one tick reach them all."""
        for user in users:
            request = alerts_pb2.SetAlertRequest(
                user_id=user, type=alerts_pb2.ALERT_TYPE_BUY, symbol=symbol, price="150.00", note=note
            )
            await self._stub.SetAlert(request, timeout=5)
        for price in (151.0, 149.5):
            await self._publisher.publish(f"NASDAQ:{symbol}", price, at=START)

    async def fires(self, user: str) -> list[alerts_pb2.Fire]:
        answer = await self._stub.ListFires(alerts_pb2.ListFiresRequest(user_id=user), timeout=5)
        return list(answer.fires)

    async def mail_of(self, user: str, *, state: str) -> alerts_pb2.Delivery:
        async def look() -> alerts_pb2.Delivery | None:
            try:
                fires = await self.fires(user)
            except grpc.aio.AioRpcError:
                return None
            emails = (fire.deliveries[1] for fire in fires)
            return next((email for email in emails if email.state == state), None)

        return await eventually(look)

    async def forget_the_dead_soon(self) -> None:
        """Let NATS give out again within a second what a killed process had in hand."""
        config = ConsumerConfig(
            durable_name=DURABLE,
            filter_subject=FIRED_SUBJECT,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=1,
        )
        await self.client.jetstream(timeout=2).add_consumer("EVENTS", config)

    async def let_wait_end(self) -> None:
        """Make what waits due, as if its time had passed."""
        async with Database.open(self.settings.database_url) as database, database.transaction() as connection:
            is_waiting = DELIVERIES.c.state == "waiting"
            await connection.execute(update(DELIVERIES).where(is_waiting).values(due_at=START))


@pytest.fixture
def settings(tmp_path: Path, nats: NatsServer) -> Settings:
    return Settings(
        run_dir=tmp_path,
        nats_url=nats.url,
        alerts_database_url=f"sqlite+aiosqlite:///{tmp_path / 'alerts.sqlite3'}",
        alerts_address=f"127.0.0.1:{free_port()}",
        auth_address=f"127.0.0.1:{free_port()}",
        market_address=f"127.0.0.1:{free_port()}",
        smtp_url=f"smtp://127.0.0.1:{free_port()}?starttls=off",
        mail_from="Bourse <bourse@example.com>",
        mail_timeout_seconds=5,
        mail_verified_only=True,
        public_url="https://api.example.com",
    )


@asynccontextmanager
async def surrounded(settings: Settings) -> AsyncIterator[World]:
    """Serve the market and auth, not yet the mail server, and open a caller."""
    options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
    client = await nats_client.connect(
        settings.nats_url.get_secret_value(), reconnect_time_wait=0.1, max_reconnect_attempts=-1
    )
    try:
        async with (
            SmallMarket.serving(settings.market_address),
            grpc.aio.insecure_channel(settings.alerts_address, options=options) as channel,
        ):
            world = World(settings, channel, client)
            async with world.auth.serving(settings.auth_address):
                yield world
    finally:
        await client.close()


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    async with surrounded(settings) as opened:
        yield opened


@pytest.fixture
def quick_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.feed.mails.LOOK_SECONDS", 0.05)
    monkeypatch.setattr("alerts.feed.mails.FIRST_WAIT", timedelta(seconds=0.2))
    monkeypatch.setattr("alerts.domain.deliveries.FIRST_WAIT", timedelta(seconds=0.2))


@asynccontextmanager
async def telling(world: World) -> AsyncIterator[None]:
    async with build(world.settings):
        await world.ready()
        yield


def read(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_a_fire_is_told_by_mail_and_the_receipt_says_so(settings: Settings, database_url: str) -> None:
    given = settings.model_copy(update={"alerts_database_url": SecretStr(database_url)})
    async with surrounded(given) as world, world.post.serving(), telling(world):
        await world.fire("7")
        (content,) = await world.post.received("7")
        sent = await world.mail_of("7", state="sent")
        (fire,) = await world.fires("7")
        event, email = fire.deliveries
        message = read(content)
        assert message["Subject"] == "[simulated] AAPL is at or below 150.00: your buy alert fired"
        assert message["Message-ID"] == f"<alert-{fire.alert_id}-1@example.com>" == email.message_id
        assert "api.example.com/api/email/unsubscribe?token=" in message["List-Unsubscribe"]
        assert message["To"] == "7@example.com"
        plain, html = (message.get_body((kind,)) for kind in ("plain", "html"))
        assert plain is not None
        assert html is not None
        for text in (plain.get_content(), html.get_content()):
            assert "149.5" in text
            assert "151.0" in text
            assert "SIMULATED" in text
            assert "half" in text
            assert "SEBI" in text
        assert (email.channel, email.state, email.attempts, email.reason) == ("email", "sent", 1, "")
        assert (event.channel, event.state, event.message_id) == ("event", "sent", f"{fire.alert_id}:1")
        told_at = event.sent_at.ToDatetime(tzinfo=UTC)
        committed_at = fire.committed_at.ToDatetime(tzinfo=UTC)
        # Two clocks, one machine.
        assert abs(told_at - committed_at) < timedelta(minutes=1)
        assert fire.latency_milliseconds == (committed_at - START) / timedelta(milliseconds=1)
        assert sent.sent_at.ToDatetime(tzinfo=UTC) >= committed_at


async def test_who_wants_no_mail_or_cannot_get_it_is_skipped_and_others_go_on(world: World) -> None:
    world.auth.gone.add("gone")
    world.auth.unsubscribed.add("unwilling")
    world.auth.unverified.add("unproved")
    world.post.refused.add("refused@example.com")
    async with world.post.serving(), telling(world):
        await world.fire("gone", "unwilling", "unproved", "refused", "willing")
        await world.post.received("willing")
        assert (await world.mail_of("gone", state="skipped")).reason == "account_gone"
        assert (await world.mail_of("unwilling", state="skipped")).reason == "unsubscribed"
        assert (await world.mail_of("unproved", state="skipped")).reason == "unverified"
        failed = await world.mail_of("refused", state="failed")
        assert (failed.reason, failed.attempts, failed.HasField("sent_at")) == ("refused", 1, False)
        assert {address for address, _ in world.post.taken} == {"willing@example.com"}


@pytest.mark.usefixtures("quick_repeats")
async def test_a_user_gets_no_more_than_so_many_mails_an_hour(settings: Settings) -> None:
    given = settings.model_copy(update={"alerts_mails_per_hour": 3})
    async with surrounded(given) as world, world.post.serving(), telling(world):
        for number in range(6):
            await world.fire("7", symbol=f"A{number}")

        async def told() -> list[str] | None:
            states = [fire.deliveries[1].state for fire in await world.fires("7")]
            return states if len(states) == 6 and "waiting" not in states else None

        assert sorted(await eventually(told)) == ["sent"] * 3 + ["skipped"] * 3
        assert len(world.post.messages("7")) == 3
        assert (await world.mail_of("7", state="skipped")).reason == "too_many"


@pytest.mark.usefixtures("quick_repeats")
async def test_while_the_mail_server_is_away_mails_wait_and_then_all_go_once(world: World) -> None:
    users = [f"user-{number}" for number in range(20)]
    async with telling(world):
        await world.fire(*users)

        async def all_heard() -> bool | None:
            deliveries = [fire.deliveries for user in users for fire in await world.fires(user)]
            return True if [event.state for event, _ in deliveries] == ["sent"] * len(users) else None

        await eventually(all_heard)
        assert {(await world.fires(user))[0].deliveries[1].state for user in users} == {"waiting"}
        async with world.post.serving():
            for user in users:
                await world.mail_of(user, state="sent")
    assert sorted(address for address, _ in world.post.taken) == sorted(f"{user}@example.com" for user in users)


@pytest.mark.usefixtures("quick_repeats")
async def test_while_the_mail_server_is_away_no_mail_is_one_too_many(settings: Settings) -> None:
    given = settings.model_copy(update={"alerts_mails_per_hour": 4})
    async with surrounded(given) as world, telling(world):
        for number in range(6):
            await world.fire("7", symbol=f"A{number}")

        async def states() -> list[str]:
            return sorted(fire.deliveries[1].state for fire in await world.fires("7"))

        async def all_tried() -> bool | None:
            found = [fire.deliveries[1] for fire in await world.fires("7")]
            return True if len(found) == 6 and all(mail.attempts > 1 or mail.reason for mail in found) else None

        await eventually(all_tried)
        assert await states() == ["waiting"] * 6
        async with world.post.serving():

            async def all_told() -> bool | None:
                return True if await states() == ["sent"] * 4 + ["skipped"] * 2 else None

            await eventually(all_told)
    assert len(world.post.messages("7")) == 4


@pytest.mark.usefixtures("quick_repeats")
async def test_an_address_that_is_busy_waits_alone(world: World) -> None:
    world.post.busy.add("busy@example.com")
    async with world.post.serving(), telling(world):
        await world.fire("busy", "7")
        await world.post.received("7")
        await world.fire("8", symbol="MSFT")
        await world.post.received("8")
        assert (await world.mail_of("busy", state="waiting")).attempts >= 1
        world.post.busy.clear()
        sent = await world.mail_of("busy", state="sent")
        assert sent.attempts >= 2
        assert len(world.post.messages("busy")) == 1


async def test_nats_lost_and_back_loses_no_mail(world: World, nats: NatsServer) -> None:
    async with world.post.serving(), telling(world):
        await world.fire("7")
        await world.post.received("7")
        nats.kill()
        await asyncio.sleep(0.3)
        nats.start()
        await asyncio.sleep(0.5)
        await world.ready()
        await world.fire("8", symbol="MSFT")
        await world.post.received("8")
        await world.mail_of("8", state="sent")
        assert [len(world.post.messages(user)) for user in ("7", "8")] == [1, 1]


async def test_a_deleted_account_keeps_no_deliveries(world: World) -> None:
    async with world.post.serving(), telling(world):
        await world.fire("7", "8")
        for user in ("7", "8"):
            await world.mail_of(user, state="sent")
        await world.client.jetstream(timeout=2).publish(
            "events.auth.user_deleted", ended_account("7", datetime.now(UTC))
        )

        async def kept() -> set[str] | None:
            async with Database.open(world.settings.database_url) as database, database.reading() as connection:
                users = {row.user_id for row in await connection.execute(DELIVERIES.select())}
            return users if len(users) == 1 else None

        assert await eventually(kept) == {"8"}


async def test_auth_that_is_away_is_no_account_that_is_gone(settings: Settings) -> None:
    auth = SmallAuth()
    auth.gone.add("8")
    channel = open_channel(settings.auth_address, [contacts_pb2.DESCRIPTOR], settings=settings)
    contacts = AuthContacts(contacts_pb2_grpc.ContactServiceStub(channel))
    try:
        with pytest.raises(ContactsUnavailable, match="try again"):
            await contacts.find("7")
        async with auth.serving(settings.auth_address):

            async def look() -> Contact | None:
                try:
                    return await contacts.find("7")
                except ContactsUnavailable:
                    return None

            assert (await eventually(look)).email == "7@example.com"
            assert await contacts.find("8") is None
    finally:
        await channel.close()


class Process:
    """`python -m alerts` with these settings; killed and started at will."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {**os.environ, **environment_of(settings)}
        self.start()

    def start(self) -> None:
        self.running = subprocess.Popen(python_module("alerts"), env=self._environment)

    def kill(self) -> None:
        self.running.kill()
        self.running.wait()


def environment_of(settings: Settings) -> dict[str, str]:
    names = (
        "run_dir",
        "alerts_address",
        "auth_address",
        "market_address",
        "mail_from",
        "mail_timeout_seconds",
        "public_url",
    )
    plain: dict[str, Any] = {name.upper(): str(getattr(settings, name)) for name in names}
    smtp_url = settings.smtp_url or SecretStr("")
    secret = {"NATS_URL": settings.nats_url, "SMTP_URL": smtp_url, "ALERTS_DATABASE_URL": settings.alerts_database_url}
    return {**plain, **{name: url.get_secret_value() for name, url in secret.items() if url is not None}}


async def test_killed_between_sending_and_recording_the_same_bytes_come_again(world: World) -> None:
    process = Process(world.settings)
    killed = 0

    def kill_first() -> None:
        nonlocal killed
        if killed < 2:
            killed += 1
            process.kill()

    world.post.before_answer = kill_first
    try:
        async with world.post.serving():
            await world.ready()
            await world.forget_the_dead_soon()
            await world.fire("7", "8", "9")
            for deaths in (1, 2):
                await eventually(lambda deaths=deaths: is_true(killed == deaths))  # type: ignore[misc]
                await world.let_wait_end()
                process.start()
            for user in ("7", "8", "9"):
                await world.mail_of(user, state="sent")
    finally:
        stop_process(process.running)
    copies = [world.post.messages(user) for user in ("7", "8", "9")]
    assert all(1 <= len(each) <= 3 for each in copies)
    assert sum(map(len, copies)) >= 4
    assert [len(set(each)) for each in copies] == [1, 1, 1]


async def is_true(said: bool) -> bool | None:  # the one thing it is about
    return said or None


async def test_killed_at_any_time_every_fire_is_told(world: World) -> None:
    process = Process(world.settings)
    users = [f"user-{number}" for number in range(30)]
    try:
        async with world.post.serving():
            await world.ready()
            await world.forget_the_dead_soon()
            await world.fire(*users)
            for seconds in (0.05, 0.4, 0.7):
                await asyncio.sleep(seconds)
                process.kill()
                await world.let_wait_end()
                process.start()
            await world.ready()
            await world.let_wait_end()
            for user in users:
                await world.mail_of(user, state="sent")
    finally:
        stop_process(process.running)
    copies = [world.post.messages(user) for user in users]
    assert min(map(len, copies)) >= 1
    assert max(len(set(each)) for each in copies) == 1
