"""What auth counts moves when the thing happens, and is what the README says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from pydantic import SecretStr

from auth.app import build
from auth.providers.attempts import WindowedAttempts
from auth.settings import Settings
from bourse.auth.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    recovery_pb2,
    recovery_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)
from chassis.clock import SystemClock
from chassis.metrics import value_of
from chassis.rpc_client import open_channel
from chassis.testing import NatsServer, free_port, has_valkey, promised_metrics, told_metrics, valkey_server

README = Path(__file__).parents[2] / "README.md"
CONTRACTS = [accounts_pb2.DESCRIPTOR, sessions_pb2.DESCRIPTOR, recovery_pb2.DESCRIPTOR]
PASSWORD, HOME = "correct horse", "192.0.2.1"


def count_of(name: str, **labels: str) -> float:
    return value_of(name, labels) or 0.0


class Caller:
    """Does what the gateway does, and swallows refusals."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._accounts = accounts_pb2_grpc.AccountServiceStub(channel)
        self._sessions = sessions_pb2_grpc.SessionServiceStub(channel)
        self._recovery = recovery_pb2_grpc.RecoveryServiceStub(channel)

    async def register(self, password: str = PASSWORD) -> accounts_pb2.RegisterResponse | None:
        request = accounts_pb2.RegisterRequest(email="asha@example.com", password=password, client_address=HOME)
        try:
            return await self._accounts.Register(request)
        except grpc.aio.AioRpcError:
            return None

    async def log_in(self, password: str = PASSWORD) -> None:
        request = sessions_pb2.LogInRequest(email="asha@example.com", password=password, client_address=HOME)
        await asyncio.gather(self._sessions.LogIn(request), return_exceptions=True)

    async def log_in_with_google(self) -> None:
        request = sessions_pb2.LogInWithGoogleRequest(id_token="none", client_address=HOME)
        await asyncio.gather(self._sessions.LogInWithGoogle(request), return_exceptions=True)

    async def refresh(self, token: str) -> None:
        request = sessions_pb2.RefreshSessionRequest(refresh_token=token)
        await asyncio.gather(self._sessions.RefreshSession(request), return_exceptions=True)

    async def forget_password(self) -> None:
        request = recovery_pb2.RequestPasswordResetRequest(email="asha@example.com", client_address=HOME)
        await self._recovery.RequestPasswordReset(request)


@pytest.fixture
def settings(database_url: str, nats: NatsServer, tmp_path: Path) -> Settings:
    return Settings(
        run_dir=tmp_path / "run",
        nats_url=nats.url,
        auth_address=f"127.0.0.1:{free_port()}",
        auth_database_url=database_url,
        auth_argon2_memory_kib=64,
        auth_argon2_time_cost=1,
        auth_registration_limit="2/hour",
        auth_login_limit="4/hour",
    )


@pytest.fixture
async def caller(settings: Settings) -> AsyncIterator[Caller]:
    async with build(settings), open_channel(settings.auth_address, CONTRACTS, settings=settings) as channel:
        yield Caller(channel)


async def test_the_readme_names_what_a_running_service_tells(caller: Caller) -> None:
    assert told_metrics("bourse_auth_") == promised_metrics(README)
    assert value_of("bourse_auth_keys_published") == 1
    assert 0 <= (value_of("bourse_auth_newest_key_age_seconds") or -1.0) < 3_600
    assert value_of("bourse_auth_passwords_waiting") == 0
    assert value_of("bourse_auth_attempts_shared") == 0


def moves(name: str, outcomes: tuple[str, ...], **labels: str) -> list[float]:
    return [count_of(name, outcome=outcome, **labels) for outcome in outcomes]


async def test_those_who_want_in_are_counted_by_what_became_of_them(caller: Caller) -> None:
    outcomes = ("ok", "refused", "throttled", "unavailable")
    names = {
        "bourse_auth_registrations_total": {},
        "bourse_auth_sign_ins_total": {"method": "password"},
    }
    before = {name: moves(name, outcomes, **labels) for name, labels in names.items()}
    google = moves("bourse_auth_sign_ins_total", outcomes, method="google")
    hashed = count_of("bourse_auth_password_seconds_count")
    await caller.register("short")
    for _ in range(3):
        await caller.register()
    for password in (PASSWORD, PASSWORD, "wrong horse", PASSWORD, PASSWORD):
        await caller.log_in(password)
    await caller.log_in_with_google()
    after = {name: moves(name, outcomes, **labels) for name, labels in names.items()}
    moved = {name: [now - then for now, then in zip(after[name], before[name], strict=True)] for name in names}
    # What was typed is looked at before anything is counted towards a limit.
    assert moved == {"bourse_auth_registrations_total": [1, 2, 1, 0], "bourse_auth_sign_ins_total": [3, 1, 1, 0]}
    assert moves("bourse_auth_sign_ins_total", outcomes, method="google") == [*google[:3], google[3] + 1]
    assert count_of("bourse_auth_password_seconds_count") == hashed + 1 + 4


async def test_a_refresh_token_that_is_used_twice_is_told_from_nonsense(caller: Caller) -> None:
    outcomes = ("ok", "refused", "reused")
    registered = await caller.register()
    assert registered is not None
    before = moves("bourse_auth_refreshes_total", outcomes)
    revoked = count_of("bourse_auth_revocations_total", kind="session")
    for token in ("nonsense", registered.tokens.refresh_token, *2 * [registered.tokens.refresh_token]):
        await caller.refresh(token)
    # A session ends once, however often its old token comes.
    assert moves("bourse_auth_refreshes_total", outcomes) == [before[0] + 1, before[1] + 2, before[2] + 1]
    assert count_of("bourse_auth_revocations_total", kind="session") == revoked + 1


async def test_mails_are_counted_when_they_are_ordered(caller: Caller) -> None:
    verify = count_of("bourse_auth_mails_ordered_total", kind="verify-email")
    reset = count_of("bourse_auth_mails_ordered_total", kind="reset-password")
    await caller.register()
    await caller.register()
    await caller.forget_password()
    assert count_of("bourse_auth_mails_ordered_total", kind="verify-email") == verify + 1
    assert count_of("bourse_auth_mails_ordered_total", kind="reset-password") == reset + 1


@pytest.mark.skipif(not has_valkey(), reason="no Valkey wheel for this platform")
async def test_attempts_are_shared_while_redis_is_there(tmp_path: Path, settings: Settings) -> None:
    with valkey_server(tmp_path) as url:
        given = settings.model_copy(update={"redis_url": SecretStr(url)})
        async with build(given):
            assert value_of("bourse_auth_attempts_shared") == 1
    async with WindowedAttempts.open({}, None, SystemClock()) as attempts:
        assert not attempts.are_shared
