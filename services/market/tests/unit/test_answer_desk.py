import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from chassis.clock import ManualClock
from market.domain.answer_desk import AnswerDesk, Answers, CapabilityMissing, NoAnswer
from market.domain.answers import Answer
from market.domain.capabilities import Capability, NothingKnown
from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.lives import Lives
from market.domain.quotes import Freshness, Provenance
from market.domain.sessions import Session, Venue, VenueSessions
from market.domain.shelf import Kept, Shelf
from market.domain.source_failures import SourceRefused, SourcesMixed, SourcesUnavailable
from market.domain.source_order import OrderInvalid

NOON = datetime(2026, 1, 5, 17, tzinfo=UTC)  # a Monday, noon in New York
SESSION = Session(date(2026, 1, 5), NOON - timedelta(hours=2.5), NOON + timedelta(hours=4))
DAY = 24 * 3600.0


def share(instrument_id: str) -> Instrument:
    exchange, _, symbol = instrument_id.partition(":")
    return Instrument(instrument_id, Exchange(exchange), symbol, symbol, InstrumentKind.EQUITY, "USD")


APPLE, IBM, TCS = share("NASDAQ:AAPL"), share("NYSE:IBM"), share("NSE:TCS")


class OneWeek:
    """A calendar that knows one session of every venue."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        return VenueSessions(venue, [SESSION], known_from=date(2026, 1, 1), known_through=date(2026, 1, 31))


class FakeSource:
    """A source that knows words about instruments, fails, knows nothing or waits, as told, and remembers questions."""

    def __init__(self, name: str, *capabilities: Capability, is_simulated: bool = False) -> None:
        self.name = name
        self.is_simulated = is_simulated
        self.capabilities = frozenset(capabilities or (Capability.PROFILES, Capability.NEWS))
        self.exchanges = frozenset({Exchange.NASDAQ, Exchange.NYSE})
        self.words = {APPLE.id: f"Apple by {name}", IBM.id: f"IBM by {name}"}
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[list[str]] = []

    def covers(self, capability: Capability, instrument: Instrument) -> bool:
        assert capability in self.capabilities
        return instrument.exchange in self.exchanges

    async def tell(self, *keys: str) -> Mapping[str, str]:
        self.asked.append(list(keys))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return {key: self.words[key] for key in keys if key in self.words}

    async def tell_one(self, key: str) -> str:
        told = await self.tell(key)
        if not told:
            raise NothingKnown
        return told[key]


class FakeShared:
    """What replicas share, on one shelf a kind."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Answer[Any]] = {}
        self.ttl_seconds: dict[tuple[str, str], float] = {}
        self.reads = 0

    def shelf(self, name: str, value_type: Any) -> "FakeSharedShelf":
        assert value_type is str
        return FakeSharedShelf(self, name)


class FakeSharedShelf:
    def __init__(self, shared: FakeShared, name: str) -> None:
        self.shared = shared
        self.name = name

    async def read(self, keys: Collection[str]) -> Mapping[str, Answer[Any]]:
        self.shared.reads += 1
        await asyncio.sleep(0)
        return {key: self.shared.kept[self.name, key] for key in keys if (self.name, key) in self.shared.kept}

    async def keep(self, answers: Mapping[str, Answer[Any]], *, ttl_seconds: float) -> None:
        await asyncio.sleep(0)
        for key, answer in answers.items():
            self.shared.kept[self.name, key] = answer
            self.shared.ttl_seconds[self.name, key] = ttl_seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def first() -> FakeSource:
    return FakeSource("first")


@pytest.fixture
def second() -> FakeSource:
    return FakeSource("second")


def make_desk(clock: ManualClock, *sources: FakeSource, **options: Any) -> AnswerDesk:
    return AnswerDesk(sources, clock, lives=Lives(OneWeek(), clock), **options)


@pytest.fixture
def desk(clock: ManualClock, first: FakeSource, second: FakeSource) -> AnswerDesk:
    return make_desk(clock, first, second)


@pytest.fixture
def profiles(desk: AnswerDesk) -> Answers[str]:
    return desk.answers(Capability.PROFILES, str)


def about(instrument: Instrument) -> Callable[[FakeSource], Awaitable[str]]:
    return lambda source: source.tell_one(instrument.id)


async def one(profiles: Answers[str], instrument: Instrument = APPLE) -> Answer[str]:
    return await profiles.one(instrument.id, about(instrument), instrument=instrument)


async def many(profiles: Answers[str], *instruments: Instrument) -> dict[str, str]:
    async def ask(source: FakeSource, wanted: Sequence[Instrument]) -> Mapping[str, str]:
        return await source.tell(*(each.id for each in wanted))

    answers = await profiles.many(instruments, ask)
    return {key: answer.value for key, answer in answers.items()}


async def turns(count: int = 20) -> None:
    """Let all that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- one question


async def test_the_first_source_is_believed_and_its_answer_says_where_it_comes_from(
    profiles: Answers[str], second: FakeSource
) -> None:
    answer = await one(profiles)
    assert answer == Answer("Apple by first", "first", NOON, NOON + timedelta(hours=24), is_simulated=False)
    assert answer.provenance == Provenance("first", NOON, Freshness.DELAYED)
    assert second.asked == []


async def test_an_answer_is_given_again_until_its_life_ends(
    profiles: Answers[str], first: FakeSource, clock: ManualClock
) -> None:
    await one(profiles)
    await clock.advance(DAY - 0.1)
    assert (await one(profiles)).answered_at == NOON
    assert len(first.asked) == 1
    await clock.advance(0.1)
    assert (await one(profiles)).answered_at == NOON + timedelta(hours=24)
    assert len(first.asked) == 2


async def test_a_source_that_does_not_cover_the_instrument_is_not_asked(
    profiles: Answers[str], first: FakeSource
) -> None:
    first.exchanges = frozenset({Exchange.NSE})
    assert (await one(profiles)).source == "second"
    assert first.asked == []


async def test_a_question_about_no_instrument_is_asked_of_every_source(desk: AnswerDesk, first: FakeSource) -> None:
    first.exchanges = frozenset()
    first.words["page 0"] = "news"
    answer = await desk.answers(Capability.NEWS, str).one("page 0", lambda source: source.tell_one("page 0"))
    assert (answer.value, answer.serves_until) == ("news", NOON + timedelta(minutes=15))


@pytest.mark.parametrize("failure", [RuntimeError("broken"), TimeoutError(), SourceRefused("may not"), NothingKnown()])
async def test_a_source_that_fails_or_knows_nothing_is_passed_over(
    profiles: Answers[str], first: FakeSource, failure: Exception
) -> None:
    first.failure = failure
    assert (await one(profiles)).value == "Apple by second"


async def test_nobody_having_the_capability_is_said_in_words(desk: AnswerDesk) -> None:
    ratings = desk.answers(Capability.AFTER_MARKET_TRADES, str)
    with pytest.raises(CapabilityMissing) as raised:
        await one(ratings)
    told = "no configured source has after market trades; the sources are: first, second"
    assert (raised.value.message, raised.value.retry_after_seconds) == (told, 3600.0)
    with pytest.raises(CapabilityMissing):
        await many(ratings, APPLE)


async def test_what_nobody_knows_is_said_and_not_asked_again_for_a_minute(
    profiles: Answers[str], first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    first.words.clear()
    second.words.clear()
    with pytest.raises(NoAnswer, match="no source knows any profiles of NASDAQ:AAPL"):
        await one(profiles)
    await clock.advance(59.9)
    with pytest.raises(NoAnswer):
        await one(profiles)
    assert (len(first.asked), len(second.asked)) == (1, 1)
    await clock.advance(0.1)
    second.words[APPLE.id] = "Apple after all"
    assert (await one(profiles)).value == "Apple after all"


async def test_what_no_source_covers_is_known_to_nobody(profiles: Answers[str], first: FakeSource) -> None:
    with pytest.raises(NoAnswer):
        await one(profiles, TCS)
    assert first.asked == []


# --- sources that fail


async def test_when_nobody_answers_it_is_said_why(
    profiles: Answers[str], first: FakeSource, second: FakeSource
) -> None:
    first.failure, second.failure = SourceRefused("limits how often it may be asked"), RuntimeError("internals")
    told = "no source of profiles is answering: first limits how often it may be asked, second did not answer"
    with pytest.raises(SourcesUnavailable) as raised:
        await one(profiles)
    assert raised.value.message == f"{told}; try again shortly"


async def test_a_failure_is_told_even_when_another_source_knows_nothing(
    profiles: Answers[str], first: FakeSource, second: FakeSource
) -> None:
    first.failure = RuntimeError("broken")
    second.words.clear()
    with pytest.raises(SourcesUnavailable, match="first did not answer;"):
        await one(profiles)
    first.failure = None
    assert (await one(profiles)).source == "first"


async def test_the_last_answer_stands_in_within_its_bound_and_is_marked_stale(
    profiles: Answers[str], first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    await one(profiles)
    first.failure = second.failure = RuntimeError("broken")
    await clock.advance(DAY)
    answer = await one(profiles)
    assert (answer.value, answer.is_stale, answer.answered_at) == ("Apple by first", True, NOON)
    assert answer.provenance.freshness is Freshness.STALE
    await clock.advance(7 * DAY - 0.1)
    assert (await one(profiles)).is_stale
    await clock.advance(5.0)
    with pytest.raises(SourcesUnavailable):
        await one(profiles)


async def test_after_a_failure_what_stands_in_serves_some_seconds(
    profiles: Answers[str], first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    await one(profiles)
    first.failure = second.failure = RuntimeError("broken")
    await clock.advance(DAY)
    await one(profiles)
    await clock.advance(4.9)
    assert (await one(profiles)).is_stale
    assert len(second.asked) == 1
    await clock.advance(0.1)
    first.failure = None
    assert not (await one(profiles)).is_stale


async def test_a_source_that_keeps_failing_is_left_alone_for_all_its_capabilities(
    desk: AnswerDesk, first: FakeSource, second: FakeSource, clock: ManualClock
) -> None:
    profiles = desk.answers(Capability.PROFILES, str)
    first.failure = RuntimeError("broken")
    for instrument in (APPLE, IBM):
        await one(profiles, instrument)
    first.words["page"] = second.words["page"] = "news"
    news = desk.answers(Capability.NEWS, str)
    assert (await news.one("page", lambda source: source.tell_one("page"))).source == "second"
    assert desk.failing == ["first"]
    first.failure = None
    second.words["next"] = "news"
    assert (await news.one("next", lambda source: source.tell_one("next"))).source == "second"
    assert len(first.asked) == 3
    await clock.advance(DAY)
    assert (await one(profiles)).source == "first"
    assert desk.failing == []


async def test_a_refusal_of_one_capability_leaves_the_others_open(
    desk: AnswerDesk, profiles: Answers[str], first: FakeSource, clock: ManualClock
) -> None:
    first.failure = SourceRefused("has no profiles in its plan", is_of_capability=True)
    for _ in range(5):
        await one(profiles)
        await clock.advance(DAY)
        first.failure = SourceRefused("has no profiles in its plan", is_of_capability=True, opens_at_once=True)
    assert desk.failing == []
    first.failure, first.words["page"] = None, "news"
    news = desk.answers(Capability.NEWS, str)
    assert (await news.one("page", lambda source: source.tell_one("page"))).source == "first"


async def test_a_capability_that_is_refused_is_asked_for_again_later(
    profiles: Answers[str], first: FakeSource, clock: ManualClock
) -> None:
    first.failure = SourceRefused(
        "has none in its plan", is_of_capability=True, opens_at_once=True, retry_after_seconds=2 * DAY
    )
    await one(profiles)
    first.failure = None
    await clock.advance(DAY)
    assert (await one(profiles)).source == "second"
    await clock.advance(DAY)
    assert (await one(profiles)).source == "first"
    await clock.advance(DAY)
    assert (await one(profiles)).source == "first"


async def test_a_rate_limit_leaves_the_source_alone_from_the_first_time_on(
    profiles: Answers[str], first: FakeSource, clock: ManualClock
) -> None:
    first.failure = SourceRefused("limits how often it may be asked", retry_after_seconds=60.0, opens_at_once=True)
    await one(profiles)
    first.failure = None
    await clock.advance(59.0)
    assert (await one(profiles, IBM)).source == "second"
    assert first.asked == [[APPLE.id]]


# --- sources that take long


async def test_a_source_that_takes_long_is_passed_over_and_its_answer_kept(
    clock: ManualClock, first: FakeSource, second: FakeSource
) -> None:
    profiles = make_desk(clock, first, second, patience_seconds=0.02).answers(Capability.PROFILES, str)
    first.gate.clear()
    assert (await one(profiles)).source == "second"
    first.gate.set()
    await turns()
    assert (await one(profiles)).source == "first"
    assert len(first.asked) == 1


async def test_what_fails_after_it_was_passed_over_is_nobody_s_problem(
    clock: ManualClock, first: FakeSource, second: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    profiles = make_desk(clock, first, second, patience_seconds=0.02).answers(Capability.PROFILES, str)
    first.gate.clear()
    first.failure = RuntimeError("broken")
    await one(profiles)
    first.gate.set()
    await turns()
    assert [record.getMessage() for record in caplog.records] == ["source failed"]


async def test_a_slow_source_is_listened_to_again_when_the_next_knows_nothing(
    clock: ManualClock, first: FakeSource, second: FakeSource
) -> None:
    profiles = make_desk(clock, first, second, patience_seconds=0.1).answers(Capability.PROFILES, str)
    first.gate.clear()
    second.words.clear()
    asking = asyncio.create_task(one(profiles))
    while not second.asked:
        await asyncio.sleep(0.005)
    first.gate.set()
    assert (await asking).source == "first"


async def test_who_has_waited_long_enough_is_told_and_the_answer_is_there_for_the_next(
    clock: ManualClock, first: FakeSource
) -> None:
    profiles = make_desk(clock, first, patience_seconds=0.02).answers(Capability.PROFILES, str)
    first.gate.clear()
    with pytest.raises(SourcesUnavailable, match="first has not answered yet;"):
        await one(profiles)
    first.gate.set()
    await turns()
    assert (await one(profiles)).value == "Apple by first"
    assert len(first.asked) == 1


async def test_who_has_waited_long_enough_gets_what_stands_in(clock: ManualClock, first: FakeSource) -> None:
    profiles = make_desk(clock, first, patience_seconds=0.02).answers(Capability.PROFILES, str)
    await one(profiles)
    first.gate.clear()
    await clock.advance(DAY)
    assert (await one(profiles)).is_stale
    first.gate.set()
    await turns()
    assert not (await one(profiles)).is_stale


async def test_of_many_what_another_source_brought_is_given_while_the_rest_is_waited_for(
    clock: ManualClock, first: FakeSource, second: FakeSource
) -> None:
    profiles = make_desk(clock, first, second, patience_seconds=0.05).answers(Capability.PROFILES, str)
    first.gate.clear()
    del second.words[IBM.id]
    assert await many(profiles, APPLE, IBM) == {APPLE.id: "Apple by second"}
    assert not (await one(profiles)).is_stale
    first.gate.set()
    await turns()
    assert await many(profiles, APPLE, IBM) == {APPLE.id: "Apple by first", IBM.id: "IBM by first"}


async def test_a_call_has_a_time_limit(clock: ManualClock, first: FakeSource) -> None:
    profiles = make_desk(clock, first, call_seconds=0.02).answers(Capability.PROFILES, str)
    first.gate.clear()
    with pytest.raises(SourcesUnavailable, match="first did not answer;"):
        await one(profiles)


# --- many readers


async def test_ten_thousand_readers_of_one_cold_key_make_one_call(clock: ManualClock, first: FakeSource) -> None:
    shared = FakeShared()
    profiles = make_desk(clock, first, shared=shared).answers(Capability.PROFILES, str)
    first.gate.clear()
    readers = [asyncio.create_task(one(profiles)) for _ in range(10_000)]
    await turns()
    first.gate.set()
    answers = await asyncio.gather(*readers)
    assert {answer.value for answer in answers} == {"Apple by first"}
    assert (len(first.asked), shared.reads) == (1, 1)


async def test_who_stops_waiting_cancels_nobody(profiles: Answers[str], first: FakeSource) -> None:
    first.gate.clear()
    leaving, staying = (asyncio.create_task(one(profiles)) for _ in range(2))
    await turns()
    leaving.cancel()
    await turns()
    first.gate.set()
    assert (await staying).value == "Apple by first"
    assert leaving.cancelled()


async def test_an_answer_nobody_waits_for_any_more_is_kept(profiles: Answers[str], first: FakeSource) -> None:
    first.gate.clear()
    only = asyncio.create_task(one(profiles))
    await turns()
    only.cancel()
    first.gate.set()
    await turns()
    await one(profiles)
    assert len(first.asked) == 1


async def test_closing_ends_what_is_under_way(desk: AnswerDesk, profiles: Answers[str], first: FakeSource) -> None:
    first.gate.clear()
    reader = asyncio.create_task(one(profiles))
    await turns()
    await desk.close()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert len(asyncio.all_tasks()) == 1


# --- many instruments


async def test_many_are_asked_in_one_call_a_source_and_the_rest_of_the_next(
    profiles: Answers[str], first: FakeSource, second: FakeSource
) -> None:
    del first.words[IBM.id]
    assert await many(profiles, APPLE, IBM, TCS) == {APPLE.id: "Apple by first", IBM.id: "IBM by second"}
    assert (first.asked, second.asked) == ([[APPLE.id, IBM.id]], [[IBM.id]])


async def test_of_many_only_those_are_asked_for_that_no_answer_serves(
    profiles: Answers[str], first: FakeSource, clock: ManualClock
) -> None:
    await one(profiles)
    await clock.advance(1.0)
    assert await many(profiles, APPLE, IBM) == {APPLE.id: "Apple by first", IBM.id: "IBM by first"}
    assert await many(profiles, APPLE, IBM, TCS) == {APPLE.id: "Apple by first", IBM.id: "IBM by first"}
    assert first.asked == [[APPLE.id], [IBM.id]]


async def test_of_many_what_is_under_way_is_waited_for(profiles: Answers[str], first: FakeSource) -> None:
    first.gate.clear()
    reader, readers = asyncio.create_task(one(profiles)), asyncio.create_task(many(profiles, APPLE, IBM))
    await turns()
    first.gate.set()
    assert (await reader).value == "Apple by first"
    assert len(await readers) == 2
    assert first.asked == [[APPLE.id], [IBM.id]]


async def test_of_many_what_is_there_is_given_when_sources_fail(
    profiles: Answers[str], first: FakeSource, second: FakeSource
) -> None:
    await one(profiles)
    first.failure = second.failure = RuntimeError("broken")
    assert await many(profiles, APPLE, IBM) == {APPLE.id: "Apple by first"}
    with pytest.raises(SourcesUnavailable) as raised:
        await many(profiles, IBM)
    assert [failure.source for failure in raised.value.failures] == ["first", "second"]


async def test_of_many_nobody_knows_is_no_failure(profiles: Answers[str], first: FakeSource) -> None:
    assert await many(profiles, TCS) == {}
    assert await many(profiles) == {}


async def test_a_source_that_knows_nothing_of_many_leaves_them_to_the_next(
    profiles: Answers[str], first: FakeSource
) -> None:
    first.failure = NothingKnown()
    assert await many(profiles, APPLE) == {APPLE.id: "Apple by second"}


# --- replicas


async def test_replicas_share_answers(clock: ManualClock, first: FakeSource) -> None:
    shared = FakeShared()
    one_desk, other_desk = (make_desk(clock, first, shared=shared) for _ in range(2))
    await one(one_desk.answers(Capability.PROFILES, str))
    await clock.advance(60.0)
    answer = await one(other_desk.answers(Capability.PROFILES, str))
    assert (answer.answered_at, len(first.asked)) == (NOON, 1)
    assert shared.ttl_seconds == {("profiles", APPLE.id): 8 * DAY}


async def test_another_replica_s_answer_stands_in(clock: ManualClock, first: FakeSource) -> None:
    shared = FakeShared()
    await one(make_desk(clock, first, shared=shared).answers(Capability.PROFILES, str))
    await clock.advance(DAY)
    first.failure = RuntimeError("broken")
    answer = await one(make_desk(clock, first, shared=shared).answers(Capability.PROFILES, str))
    assert (answer.answered_at, answer.is_stale) == (NOON, True)


async def test_a_newer_answer_of_this_process_is_not_replaced_by_an_older_shared_one(
    clock: ManualClock, first: FakeSource
) -> None:
    shared = FakeShared()
    profiles = make_desk(clock, first, shared=shared).answers(Capability.PROFILES, str)
    answer = await one(profiles)
    shared.kept["profiles", APPLE.id] = replace(answer, value="older", answered_at=NOON - timedelta(seconds=1))
    first.failure = RuntimeError("broken")
    await clock.advance(DAY)
    assert (await one(profiles)).value == "Apple by first"


@pytest.mark.parametrize(
    "change",
    [
        {"source": "sample", "is_simulated": True},
        {"source": "no longer configured"},
        {"answered_at": NOON + timedelta(minutes=2)},
    ],
)
async def test_a_shared_answer_that_is_none_of_these_sources_is_passed_over(
    clock: ManualClock, first: FakeSource, change: dict[str, Any]
) -> None:
    shared = FakeShared()
    foreign = Answer("foreign", "first", NOON, NOON + timedelta(hours=1), is_simulated=False)
    shared.kept["profiles", APPLE.id] = replace(foreign, **change)
    profiles = make_desk(clock, first, shared=shared).answers(Capability.PROFILES, str)
    assert (await one(profiles)).value == "Apple by first"


async def test_what_is_simulated_or_has_no_type_is_not_shared(clock: ManualClock, first: FakeSource) -> None:
    shared = FakeShared()
    sample = FakeSource("sample", is_simulated=True)
    simulated = await one(make_desk(clock, sample, shared=shared).answers(Capability.PROFILES, str))
    assert simulated.provenance.freshness is Freshness.SIMULATED
    await one(make_desk(clock, first, shared=shared).answers(Capability.PROFILES, None))
    assert (shared.kept, shared.reads) == ({}, 0)


# --- how a desk is set up


def test_real_and_simulated_sources_never_stand_in_one_list(clock: ManualClock, first: FakeSource) -> None:
    with pytest.raises(SourcesMixed, match="first, sample"):
        make_desk(clock, first, FakeSource("sample", is_simulated=True))


async def test_sources_can_be_ordered_by_capability(clock: ManualClock, first: FakeSource, second: FakeSource) -> None:
    desk = make_desk(clock, first, second, order={Capability.PROFILES: ("second", "first")})
    assert (await one(desk.answers(Capability.PROFILES, str))).source == "second"
    assert desk.answers(Capability.PROFILES, str) is desk.answers(Capability.PROFILES, str)
    with pytest.raises(OrderInvalid):
        make_desk(clock, first, order={Capability.PROFILES: ("second",)})


# --- the shelf


def test_the_least_recently_used_answer_goes_first() -> None:
    shelf: Shelf[str] = Shelf(2)
    kept: Kept[str] = Kept(None, NOON, NOON, NOON)
    shelf.put("a", kept)
    shelf.put("b", kept)
    shelf.get("a")
    shelf.put("c", kept)
    assert (shelf.get("a"), shelf.get("b"), len(shelf)) == (kept, None, 2)


def test_a_clock_that_is_set_back_makes_no_answer_serve_longer() -> None:
    kept: Kept[str] = Kept(None, NOON, NOON + timedelta(seconds=60), NOON)
    assert kept.serves_at(NOON)
    assert not kept.serves_at(NOON - timedelta(seconds=1))
