import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bourse.auth.v1 import accounts_pb2, accounts_pb2_grpc
from chassis.errors import Code, ServiceError
from chassis.health import CHECK_INTERVAL_SECONDS, Health
from chassis.logs import request_id
from chassis.metrics import value_of
from chassis.rpc_client import open_channel, reason_of, retry_after_of, service_config
from chassis.rpc_server import serving
from chassis.settings import AddressInUse, ListenerExposed, ProcessSettings
from chassis.testing import free_port

Behaviour = Callable[[], Awaitable[accounts_pb2.GetUserResponse]]


class Throttled(ServiceError):
    code = Code.RESOURCE_EXHAUSTED
    reason = "THROTTLED"
    retry_after_seconds = 2.5

    def __init__(self) -> None:
        super().__init__("too many tries")


class Wordy(ServiceError):
    code = Code.INVALID_ARGUMENT
    reason = "W" * 64
    retry_after_seconds = 2.5


class Accounts(accounts_pb2_grpc.AccountServiceServicer):
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    async def GetUser(self, request: accounts_pb2.GetUserRequest, context: object) -> accounts_pb2.GetUserResponse:
        return await self._behaviour()

    async def Register(self, request: accounts_pb2.RegisterRequest, context: object) -> accounts_pb2.RegisterResponse:
        raise NotImplementedError


def settings(**changes: object) -> ProcessSettings:
    return ProcessSettings.model_validate({"shutdown_grace_seconds": 0.2, **changes})


def answering(
    address: str, behaviour: Behaviour, process_settings: ProcessSettings | None = None
) -> AbstractAsyncContextManager[grpc.aio.Server]:
    def register(server: grpc.aio.Server) -> None:
        accounts_pb2_grpc.add_AccountServiceServicer_to_server(Accounts(behaviour), server)  # type: ignore[abstract]  # what it isn't asked it doesn't answer

    return serving(address, [register], health=Health(), settings=process_settings or settings())


@asynccontextmanager
async def calling(
    behaviour: Behaviour, process_settings: ProcessSettings | None = None
) -> "AsyncIterator[accounts_pb2_grpc.AccountServiceAsyncStub]":
    process_settings = process_settings or settings()
    address = f"127.0.0.1:{free_port()}"
    async with (
        answering(address, behaviour, process_settings),
        open_channel(address, [accounts_pb2.DESCRIPTOR], settings=process_settings) as channel,
    ):
        yield accounts_pb2_grpc.AccountServiceStub(channel)


async def answer() -> accounts_pb2.GetUserResponse:
    return accounts_pb2.GetUserResponse(user=accounts_pb2.User(id=request_id.get()))


async def test_a_domain_error_arrives_with_code_reason_message_and_delay() -> None:
    async def refuse() -> accounts_pb2.GetUserResponse:
        raise Throttled

    async with calling(refuse) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUser(accounts_pb2.GetUserRequest())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == "too many tries"
    assert reason_of(caught.value) == "THROTTLED"
    assert retry_after_of(caught.value) == 2.5


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("x" * 3_000, "x" * 3_000),
        ("x" * 100_000, "x" * 3_000),
        ("%" * 100_000, "%" * 1_500),
        ("%" * 100 + "x" * 3_000, "%" * 100 + "x" * 2_800),
        ("%" * 1_500 + "x" * 3_000, "%" * 1_500),
        ("\n" * 100_000, "\n" * 1_500),
        ("é" * 100_000, "é" * 750),
        ("x" + "\U0001f512" * 100_000, "x" + "\U0001f512" * 374),
        ("half a pair: \ud83d", "half a pair: ?"),
    ],
    ids=[
        "long",
        "endless",
        "percent",
        "some percent",
        "half percent",
        "control",
        "two bytes",
        "four bytes",
        "no bytes",
    ],
)
async def test_a_message_of_any_length_arrives_cut_with_code_and_reason(message: str, told: str) -> None:
    async def refuse() -> accounts_pb2.GetUserResponse:
        raise Wordy(message)

    async with calling(refuse) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUser(accounts_pb2.GetUserRequest())
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.INVALID_ARGUMENT, "W" * 64)
    assert caught.value.details() == told


async def test_an_unexpected_error_tells_the_caller_nothing_of_itself() -> None:
    async def fail() -> accounts_pb2.GetUserResponse:
        raise RuntimeError("the inside of the house")

    async with calling(fail) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUser(accounts_pb2.GetUserRequest())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "An unexpected error occurred"


async def test_the_request_id_travels_with_the_call() -> None:
    token = request_id.set("abc-1")
    try:
        async with calling(answer) as stub:
            reply = await stub.GetUser(accounts_pb2.GetUserRequest())
    finally:
        request_id.reset(token)
    assert reply.user.id == "abc-1"


async def test_a_call_without_a_deadline_gets_the_default_one() -> None:
    async def hang() -> accounts_pb2.GetUserResponse:
        await asyncio.sleep(30)
        raise AssertionError

    started = time.monotonic()
    async with calling(hang, settings(rpc_deadline_seconds=0.3)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUser(accounts_pb2.GetUserRequest())
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 5


async def test_a_handler_that_outlives_its_caller_is_ended() -> None:
    async def hang() -> accounts_pb2.GetUserResponse:
        await asyncio.sleep(30)
        raise AssertionError

    async with calling(hang, settings(rpc_deadline_seconds=0.2)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUser(accounts_pb2.GetUserRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(caught.value) == "TIMEOUT"


async def test_a_service_that_is_away_is_unavailable_without_a_reason_and_then_found_again() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with open_channel(address, [accounts_pb2.DESCRIPTOR], settings=settings()) as channel:
        stub = accounts_pb2_grpc.AccountServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUser(accounts_pb2.GetUserRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(caught.value) is None
        assert retry_after_of(caught.value) is None

        async with answering(address, answer):
            reply = await stub.GetUser(accounts_pb2.GetUserRequest(), timeout=5, wait_for_ready=True)
    assert reply.user.id == "-"


SERVICE, METHOD = "bourse.auth.v1.AccountService", "GetUser"


def counted(name: str, code: str) -> float:
    return value_of(name, {"service": SERVICE, "method": METHOD, "code": code}) or 0.0


async def test_calls_are_counted_where_they_are_made_and_where_they_are_answered() -> None:
    async def refuse() -> accounts_pb2.GetUserResponse:
        raise Throttled

    names = ("bourse_rpc_calls_total", "bourse_rpc_client_calls_total")
    before = {(name, code): counted(name, code) for name in names for code in ("OK", Throttled.code)}
    async with calling(answer) as stub:
        await stub.GetUser(accounts_pb2.GetUserRequest())
        assert value_of("bourse_rpc_in_flight") == 0.0
    async with calling(refuse) as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetUser(accounts_pb2.GetUserRequest())
    assert {key: counted(*key) - count for key, count in before.items()} == dict.fromkeys(before, 1.0)
    assert (value_of("bourse_rpc_seconds_count", {"service": SERVICE, "method": METHOD}) or 0.0) >= 2


async def test_a_call_whose_caller_leaves_is_counted_as_such_on_both_sides() -> None:
    begun = asyncio.Event()

    async def hang() -> accounts_pb2.GetUserResponse:
        begun.set()
        await asyncio.sleep(30)
        raise AssertionError

    names = ("bourse_rpc_calls_total", "bourse_rpc_client_calls_total")
    before = {name: counted(name, "CANCELLED") for name in names}
    async with calling(hang) as stub:
        call = asyncio.ensure_future(stub.GetUser(accounts_pb2.GetUserRequest()))
        await asyncio.wait_for(begun.wait(), 5)
        assert value_of("bourse_rpc_in_flight") == 1.0
        call.cancel()
        async with asyncio.timeout(5):
            while any(counted(name, "CANCELLED") == count for name, count in before.items()):
                await asyncio.sleep(0.01)
        assert value_of("bourse_rpc_in_flight") == 0.0


def test_only_calls_without_side_effects_are_retried() -> None:
    config = service_config([accounts_pb2.DESCRIPTOR])
    assert '"GetUser"' in config
    assert "Register" not in config
    assert "retryPolicy" not in service_config([health_pb2.DESCRIPTOR])


async def test_replicas_are_called_in_turn_and_one_that_goes_takes_no_read_with_it() -> None:
    def named(name: str) -> Behaviour:
        async def tell() -> accounts_pb2.GetUserResponse:
            return accounts_pb2.GetUserResponse(user=accounts_pb2.User(id=name))

        return tell

    ports, patient = [free_port(), free_port()], settings(shutdown_grace_seconds=20)
    addresses = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(AsyncExitStack()) for _ in ports]
        for replica, port, name in zip(replicas, ports, ("first", "second"), strict=True):
            await replica.enter_async_context(answering(f"127.0.0.1:{port}", named(name), patient))
        channel = await stack.enter_async_context(
            open_channel(addresses, [accounts_pb2.DESCRIPTOR], settings=settings())
        )
        stub = accounts_pb2_grpc.AccountServiceStub(channel)

        async def ask() -> str:
            return (await stub.GetUser(accounts_pb2.GetUserRequest(), wait_for_ready=True)).user.id

        async with asyncio.timeout(10):
            while {await ask(), await ask()} != {"first", "second"}:
                await asyncio.sleep(0.05)
        assert sorted([await ask() for _ in range(10)]) == ["first"] * 5 + ["second"] * 5
        asking = asyncio.gather(*(ask() for _ in range(50)))
        await replicas[0].aclose()
        assert len(await asking) == 50
        assert {await ask() for _ in range(10)} == {"second"}


async def test_an_address_in_use_is_a_sentence() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with serving(address, [], health=Health(), settings=settings()):
        with pytest.raises(AddressInUse, match=address):
            async with serving(address, [], health=Health(), settings=settings()):
                pass


async def test_a_listener_outside_loopback_must_be_guarded_or_opted_out(tmp_path: Path) -> None:
    with pytest.raises(ListenerExposed):
        async with serving("0.0.0.0:0", [], health=Health(), settings=settings()):
            pass
    settings(grpc_plaintext=True).require_guarded_listener("0.0.0.0:1")
    files = {name: tmp_path / name for name in ("grpc_tls_certificate", "grpc_tls_key", "grpc_tls_authority")}
    settings(**files).require_guarded_listener("0.0.0.0:1")


async def test_nobody_is_told_that_all_is_well_before_it_was_looked_at() -> None:
    address = f"127.0.0.1:{free_port()}"
    health = Health()

    async def slow() -> bool:
        await asyncio.sleep(0.3)
        return False

    async def first_answer() -> list[int]:
        # A call that waits for the server comes a second too late.
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)
                continue
            writer.close()
            break
        async with grpc.aio.insecure_channel(address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", "database")]
            return [int((await check(request, wait_for_ready=True, timeout=10)).status) for request in requests]

    health.add("database", slow)
    asking = asyncio.create_task(first_answer())
    async with serving(address, [], health=health, settings=settings()):
        assert await asking == [health_pb2.HealthCheckResponse.NOT_SERVING] * 2


async def test_named_checks_are_served_and_decide_the_whole() -> None:
    holds = {"database": True, "nats": True}
    health = Health()

    async def database() -> bool:
        return holds["database"]

    async def nats() -> bool:
        if not holds["nats"]:
            raise ConnectionError
        return True

    health.add("database", database)
    health.add("nats", nats, critical=False)
    address = f"127.0.0.1:{free_port()}"
    async with (
        serving(address, [], health=health, settings=settings()),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        holds["nats"] = False
        async with asyncio.timeout(5):
            while health.states["nats"]:
                await asyncio.sleep(0.05)
        listed = (await stub.List(health_pb2.HealthListRequest())).statuses
        assert listed[""].status == listed["database"].status == health_pb2.HealthCheckResponse.SERVING
        assert listed["nats"].status == health_pb2.HealthCheckResponse.NOT_SERVING
        holds["database"] = False
        assert await health.evaluate() is False
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=""))
        assert reply.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_what_stops_does_not_say_again_that_it_serves() -> None:
    health = Health()
    is_called = asyncio.Event()

    async def database() -> bool:
        return True

    async def answer_late() -> accounts_pb2.GetUserResponse:
        is_called.set()
        await asyncio.sleep(2 * CHECK_INTERVAL_SECONDS)
        return await answer()

    def register(server: grpc.aio.Server) -> None:
        accounts_pb2_grpc.add_AccountServiceServicer_to_server(Accounts(answer_late), server)  # type: ignore[abstract]  # what it isn't asked it doesn't answer

    health.add("database", database)
    address = f"127.0.0.1:{free_port()}"
    patient = settings(shutdown_grace_seconds=5)
    async with open_channel(address, [accounts_pb2.DESCRIPTOR], settings=patient) as channel:
        async with serving(address, [register], health=health, settings=patient):
            call = accounts_pb2_grpc.AccountServiceStub(channel).GetUser(accounts_pb2.GetUserRequest())
            await is_called.wait()
        assert health.states == {"": False, "database": False}
        await call


async def test_services_talk_past_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, nobody)
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with calling(answer) as stub:
        assert await stub.GetUser(accounts_pb2.GetUserRequest())
