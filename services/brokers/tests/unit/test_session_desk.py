import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from brokers.domain.brokers import Broker
from brokers.domain.errors import (
    ActivationRunning,
    AdminRequired,
    BrokerNotConfigured,
    BrokerTokenInvalid,
    CredentialsMalformed,
)
from brokers.domain.feeding import Feeding
from brokers.domain.secrets import Secret
from brokers.domain.session_desk import Activation, BrokerConfiguration, SessionDesk
from brokers.domain.sessions import ActiveSession, FeedState, FeedStatus, Login, OpenedSession, SessionBook
from chassis.clock import ManualClock

NOON_IN_INDIA = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
NOTHING = BrokerConfiguration()


class Opener:
    """A broker that takes one code once, and answers when it is let."""

    def __init__(self) -> None:
        self.logins: list[Login] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_simulated = False

    async def open(self, login: Login) -> OpenedSession:
        self.logins.append(login)
        await self.answers.wait()
        if login.code.reveal() != "good":
            raise BrokerTokenInvalid(login.broker, "the code is used")
        return OpenedSession(Secret(f"token-{len(self.logins)}"), is_simulated=self.is_simulated)


class Feed:
    status = FeedStatus(FeedState.LIVE, NOON_IN_INDIA)

    async def start(self, session: ActiveSession, tokens: Mapping[str, int]) -> None: ...

    async def stop(self) -> None: ...


class Nothing:
    async def indian_instruments(self) -> Sequence[str]:
        return []

    async def tokens(self, session: ActiveSession, instruments: Sequence[str]) -> Mapping[str, int]:
        return {}


class Counter:
    """A desk and what is around it."""

    def __init__(self, **configured: BrokerConfiguration) -> None:
        self.clock = ManualClock(NOON_IN_INDIA)
        self.book = SessionBook(self.clock)
        self.opener = Opener()
        nothing = Nothing()
        self.feeding = Feeding(Feed(), nothing, nothing, book=self.book, clock=self.clock, max_instruments=3000)
        configuration = {broker: configured.get(broker.value, NOTHING) for broker in Broker}
        self.desk = SessionDesk(self.book, self.opener, configuration, feeding=self.feeding, clock=self.clock)

    async def finish(self) -> None:
        await self.desk.finish()
        await self.feeding.finish()


def an_activation(
    broker: Broker = Broker.ZERODHA, *, secret: str | None = None, is_admin: bool = False, code: str = "good"
) -> Activation:
    return Activation(
        broker=broker,
        code=Secret(code),
        api_key=Secret("given-key"),
        api_secret=Secret("given-secret"),
        admin_secret=None if secret is None else Secret(secret),
        caller_is_admin=is_admin,
    )


@pytest.fixture
async def counter() -> Counter:
    return Counter()


async def test_without_a_configured_secret_only_administrators_may(counter: Counter) -> None:
    reason = r"^this server has no ZERODHA_ADMIN_SECRET; only an administrator's token opens its Zerodha session$"
    for refused in (an_activation(), an_activation(secret="anything"), an_activation(secret="")):
        with pytest.raises(AdminRequired, match=reason):
            await counter.desk.activate(refused)
    assert counter.opener.logins == []
    assert (await counter.desk.activate(an_activation(is_admin=True))).is_valid
    await counter.finish()


@pytest.mark.parametrize("secret", [None, "", "wrong", "demo secret ", "demo secreT"])
async def test_a_configured_secret_must_match_whoever_calls(secret: str | None) -> None:
    counter = Counter(zerodha=BrokerConfiguration(admin_secret=Secret("demo secret")))
    for is_admin in (False, True):
        with pytest.raises(AdminRequired, match=r"^opening the server's Zerodha session needs the admin secret$"):
            await counter.desk.activate(an_activation(secret=secret, is_admin=is_admin))
    assert counter.opener.logins == []
    assert (await counter.desk.activate(an_activation(secret="demo secret"))).is_valid
    await counter.finish()


async def test_an_empty_configured_secret_lets_nobody_in_but_administrators() -> None:
    counter = Counter(icici=BrokerConfiguration(admin_secret=Secret("")))
    with pytest.raises(AdminRequired, match=r"^this server has no ICICI_ADMIN_SECRET; only an administrator's token"):
        await counter.desk.activate(an_activation(Broker.ICICI, secret=""))


async def test_permission_comes_before_anything_else_is_said() -> None:
    counter = Counter()
    with pytest.raises(AdminRequired):
        await counter.desk.activate(replace(an_activation(Broker.ICICI), api_key=None))


async def test_one_brokers_secret_opens_no_other_broker() -> None:
    counter = Counter(
        zerodha=BrokerConfiguration(admin_secret=Secret("demo z")), icici=BrokerConfiguration(Secret("demo i"))
    )
    with pytest.raises(AdminRequired):
        await counter.desk.activate(an_activation(Broker.ICICI, secret="demo z"))


async def test_an_opened_session_is_said_to_be_valid_until_the_brokers_hour(counter: Counter) -> None:
    status = await counter.desk.activate(an_activation(is_admin=True))
    assert (status.is_initialized, status.is_valid, status.token_type) == (True, True, "access_token")
    assert status.set_at == NOON_IN_INDIA
    assert status.expires_at == datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
    assert status.feed.state is FeedState.LIVE
    await counter.finish()


async def test_only_zerodha_has_a_feed(counter: Counter) -> None:
    status = await counter.desk.activate(an_activation(Broker.ICICI, is_admin=True))
    assert status.feed == FeedStatus(FeedState.OFF)
    assert status.expires_at == datetime(2026, 11, 20, 18, 30, tzinfo=UTC)


async def test_only_icicis_secret_is_kept(counter: Counter) -> None:
    await counter.desk.activate(an_activation(Broker.ICICI, is_admin=True))
    await counter.desk.activate(an_activation(Broker.ZERODHA, is_admin=True))
    icici, zerodha = counter.book.usable(Broker.ICICI), counter.book.usable(Broker.ZERODHA)
    assert icici is not None
    assert zerodha is not None
    assert icici.api_secret is not None
    assert icici.api_secret.reveal() == "given-secret"
    assert zerodha.api_secret is None
    await counter.finish()


async def test_the_configured_key_stands_in_for_one_that_is_not_given() -> None:
    counter = Counter(icici=BrokerConfiguration(api_key=Secret("own-key"), api_secret=Secret("own-secret")))
    await counter.desk.activate(replace(an_activation(Broker.ICICI, is_admin=True), api_key=None, api_secret=None))
    await counter.desk.activate(an_activation(Broker.ICICI, is_admin=True))
    assert [login.api_key.reveal() for login in counter.opener.logins] == ["own-key", "given-key"]
    assert [login.api_secret.reveal() for login in counter.opener.logins] == ["own-secret", "given-secret"]


@pytest.mark.parametrize("missing", ["api_key", "api_secret"])
async def test_without_any_key_there_is_nothing_to_open_with(counter: Counter, missing: str) -> None:
    activation = an_activation(Broker.ICICI, is_admin=True)
    lacking = replace(activation, api_key=None) if missing == "api_key" else replace(activation, api_secret=None)
    with pytest.raises(BrokerNotConfigured):
        await counter.desk.activate(lacking)
    assert counter.opener.logins == []


@pytest.mark.parametrize("field", ["api_key", "api_secret", "code"])
async def test_what_cannot_be_a_credential_is_not_sent(counter: Counter, field: str) -> None:
    for nonsense in ("", "two words", "x" * 513):
        secret = Secret(nonsense)
        given = an_activation(is_admin=True)
        malformed = {
            "api_key": replace(given, api_key=secret),
            "api_secret": replace(given, api_secret=secret),
            "code": replace(given, code=secret),
        }[field]
        with pytest.raises(CredentialsMalformed, match="request_token" if field == "code" else field):
            await counter.desk.activate(malformed)
        with pytest.raises(AdminRequired):
            await counter.desk.activate(replace(malformed, caller_is_admin=False))
    assert counter.opener.logins == []


async def test_a_refused_activation_keeps_the_earlier_session(counter: Counter) -> None:
    await counter.desk.activate(an_activation(is_admin=True))
    earlier = counter.book.usable(Broker.ZERODHA)
    with pytest.raises(BrokerTokenInvalid):
        await counter.desk.activate(an_activation(is_admin=True, code="used"))
    assert earlier is not None
    assert counter.book.usable(Broker.ZERODHA) is earlier
    assert len(counter.opener.logins) == 2
    await counter.finish()


async def test_one_activation_of_a_broker_at_a_time(counter: Counter) -> None:
    counter.opener.answers.clear()
    first = asyncio.create_task(counter.desk.activate(an_activation(is_admin=True)))
    await asyncio.sleep(0)
    with pytest.raises(ActivationRunning):
        await counter.desk.activate(an_activation(is_admin=True))
    other = asyncio.create_task(counter.desk.activate(an_activation(Broker.ICICI, is_admin=True)))
    await asyncio.sleep(0)
    counter.opener.answers.set()
    assert (await first).is_valid
    assert (await other).is_valid
    assert len(counter.opener.logins) == 2
    await counter.finish()


async def test_an_activation_goes_on_when_its_caller_leaves(counter: Counter) -> None:
    counter.opener.answers.clear()
    caller = asyncio.create_task(counter.desk.activate(an_activation(is_admin=True)))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    counter.opener.answers.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert counter.desk.status(Broker.ZERODHA).is_valid
    await counter.finish()


async def test_a_refusal_after_its_caller_has_left_is_not_complained_about(counter: Counter) -> None:
    counter.opener.answers.clear()
    caller = asyncio.create_task(counter.desk.activate(an_activation(is_admin=True, code="used")))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    counter.opener.answers.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not counter.desk.status(Broker.ZERODHA).is_initialized


async def test_what_is_under_way_is_given_up_at_the_end(counter: Counter) -> None:
    counter.opener.answers.clear()
    caller = asyncio.create_task(counter.desk.activate(an_activation(is_admin=True)))
    await asyncio.sleep(0)
    await counter.desk.finish()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert not counter.desk.status(Broker.ZERODHA).is_initialized


async def test_the_time_the_exchange_takes_lengthens_no_session(counter: Counter) -> None:
    counter.opener.answers.clear()
    almost_six = datetime(2026, 11, 21, 0, 29, 59, tzinfo=UTC)
    await counter.clock.advance((almost_six - NOON_IN_INDIA).total_seconds())
    caller = asyncio.create_task(counter.desk.activate(an_activation(is_admin=True)))
    while not counter.opener.logins:
        await asyncio.sleep(0)
    await counter.clock.advance(2)
    counter.opener.answers.set()
    status = await caller
    assert status.expires_at == almost_six + timedelta(seconds=1)
    assert not status.is_valid
    await counter.finish()


async def test_the_sandboxs_session_is_marked(counter: Counter) -> None:
    counter.opener.is_simulated = True
    await counter.desk.activate(an_activation(is_admin=True))
    session = counter.book.usable(Broker.ZERODHA)
    assert session is not None
    assert session.is_simulated
