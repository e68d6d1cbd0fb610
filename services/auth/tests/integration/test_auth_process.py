"""The process: its command line, its signals, and what survives kill -9."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from chassis.testing import free_port, python_module, stop_process
from upstreams.google import google_server

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "RUN_DIR": str(tmp_path / "run"),
        "NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "AUTH_ADDRESS": f"127.0.0.1:{free_port()}",
        "AUTH_DATABASE_URL": "",
        "AUTH_ARGON2_MEMORY_KIB": "64",
        "AUTH_ARGON2_TIME_COST": "1",
        "AUTH_REGISTRATION_LIMIT": "100000 per hour",
        "LOG_LEVEL": "DEBUG",
    }


@contextmanager
def running(environment: dict[str, str], log: Path) -> Iterator[tuple["subprocess.Popen[bytes]", grpc.Channel]]:
    with log.open("ab") as output:
        process = subprocess.Popen(python_module("auth"), env=environment, stdout=output, stderr=output)
    try:
        with grpc.insecure_channel(environment["AUTH_ADDRESS"]) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
            yield process, channel
    finally:
        stop_process(process)


def errand(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [*python_module("auth"), *arguments]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=30)


def register(channel: grpc.Channel, email: str) -> accounts_pb2.RegisterResponse:
    request = accounts_pb2.RegisterRequest(email=email, password=SECRET, client_address="192.0.2.1")
    return accounts_pb2_grpc.AccountServiceStub(channel).Register(request, timeout=5)


def test_it_ends_cleanly_on_sigterm_without_nats(environment: dict[str, str], tmp_path: Path) -> None:
    with running(environment, tmp_path / "auth.log") as (process, _):
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5


def test_what_was_acknowledged_survives_kill_9(environment: dict[str, str], tmp_path: Path) -> None:
    acknowledged: list[accounts_pb2.RegisterResponse] = []
    with running(environment, tmp_path / "auth.log") as (process, channel):
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            acknowledged.append(register(channel, f"user{len(acknowledged)}@example.com"))
        process.kill()
        process.wait()
    assert len(acknowledged) > 20
    with running(environment, tmp_path / "auth.log") as (_, channel):
        accounts, sessions = (
            accounts_pb2_grpc.AccountServiceStub(channel),
            sessions_pb2_grpc.SessionServiceStub(channel),
        )
        for response in acknowledged:
            request = accounts_pb2.GetUserRequest(user_id=response.user.id)
            assert accounts.GetUser(request, timeout=5).user == response.user
        last = acknowledged[-1].tokens.refresh_token
        sessions.RefreshSession(sessions_pb2.RefreshSessionRequest(refresh_token=last), timeout=5)


def test_no_secret_reaches_log_or_disk(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    with running(environment, log) as (_, channel):
        tokens = register(channel, "asha@example.com").tokens
        sessions = sessions_pb2_grpc.SessionServiceStub(channel)
        sessions.LogIn(sessions_pb2.LogInRequest(email="asha@example.com", password=SECRET), timeout=5)
        with pytest.raises(grpc.RpcError) as refused:
            sessions.LogIn(sessions_pb2.LogInRequest(email="asha@example.com", password=f"{SECRET}!"), timeout=5)
        assert SECRET not in str(refused.value)
        (key_file,) = (tmp_path / "run" / "auth-keys").glob("*.pem")
        key = key_file.read_text().splitlines()[1]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != key_file]
    assert log in written
    assert (tmp_path / "run" / "auth.sqlite3") in written
    for path in written:
        content = path.read_bytes()
        for secret in (SECRET, tokens.refresh_token, tokens.access_token, key):
            assert secret.encode() not in content, path


def test_no_id_token_reaches_log_or_disk(environment: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    with google_server() as google:
        environment |= {"GOOGLE_CLIENT_ID": google.client_id, "GOOGLE_JWKS_URL": google.jwks_url}
        good, bad = google.upstream.id_token(), google.upstream.id_token(email_verified="true")
        with running(environment, log) as (_, channel):
            sessions = sessions_pb2_grpc.SessionServiceStub(channel)
            sessions.LogInWithGoogle(sessions_pb2.LogInWithGoogleRequest(id_token=good), timeout=5)
            with pytest.raises(grpc.RpcError) as refused:
                sessions.LogInWithGoogle(sessions_pb2.LogInWithGoogleRequest(id_token=bad), timeout=5)
    assert "id token refused" in log.read_text()
    written = [str(refused.value).encode(), *(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())]
    for token in (good, bad):
        assert not [content for content in written for piece in token.split(".") if piece.encode() in content]


def test_the_key_is_made_on_first_start_for_its_owner_alone(environment: dict[str, str], tmp_path: Path) -> None:
    with running(environment, tmp_path / "auth.log"):
        (key_file,) = (tmp_path / "run" / "auth-keys").glob("*.pem")
        assert key_file.stat().st_mode & 0o777 == 0o600


def test_migrate_makes_the_schema_and_ends(environment: dict[str, str], tmp_path: Path) -> None:
    done = errand(environment, "migrate")
    assert (done.returncode, done.stdout) == (0, "the schema is up to date\n")
    assert (tmp_path / "run" / "auth.sqlite3").exists()


def test_grant_admin_names_who_became_one(environment: dict[str, str], tmp_path: Path) -> None:
    with running(environment, tmp_path / "auth.log") as (_, channel):
        user = register(channel, "asha@example.com").user
        strict = {**environment, "MAIL_VERIFIED_ONLY": "1"}
        refused = errand(strict, "grant-admin", "Asha@Example.com")
        assured = errand(strict, "grant-admin", "Asha@Example.com", "--unverified")
        done = errand(environment, "grant-admin", "Asha@Example.com")
    assert assured.returncode == 0
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has not verified it" in refused.stderr
    assert done.returncode == 0
    assert done.stdout.startswith(f"asha@example.com (user {user.id}) is an administrator")
    assert "nobody has verified the address" in done.stdout


def test_grant_admin_says_what_is_wrong(environment: dict[str, str]) -> None:
    assert "python -m auth migrate" in errand(environment, "grant-admin", "asha@example.com").stderr
    errand(environment, "migrate")
    for email, told in (("nobody@example.com", "no account has the address"), ("nonsense", "email is not valid")):
        done = errand(environment, "grant-admin", email)
        assert done.returncode == 1
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_rotate_key_adds_one_and_refuses_when_the_key_is_given(environment: dict[str, str], tmp_path: Path) -> None:
    for number in (1, 2):
        done = errand(environment, "rotate-key")
        assert re.fullmatch(r"key [\w-]{43} is published now and signs in 60 s\n", done.stdout)
        assert len(list((tmp_path / "run" / "auth-keys").glob("*.pem"))) == number
    (key_file, *_) = (tmp_path / "run" / "auth-keys").glob("*.pem")
    refused = errand({**environment, "AUTH_SIGNING_KEY_FILE": str(key_file)}, "rotate-key")
    assert refused.returncode == 1
    assert "AUTH_SIGNING_KEY_FILE is set" in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTH_ACCESS_TOKEN_SECONDS", "0"),
        ("AUTH_LOGIN_LIMIT", "often"),
        ("AUTH_ARGON2_MEMORY_KIB", "lots"),
        ("GOOGLE_JWKS_URL", "http://example.com/certs"),
    ],
)
def test_a_wrong_setting_ends_the_start_and_is_named(environment: dict[str, str], variable: str, value: str) -> None:
    done = errand({**environment, variable: value}, "migrate")
    assert done.returncode == 78
    assert variable in done.stderr
