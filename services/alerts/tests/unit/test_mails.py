import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nats.aio.msg import Msg

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.deliveries import (
    FAILURES_OF_AN_OUTAGE,
    FIRST_WAIT,
    HOUR,
    Contact,
    ContactsUnavailable,
    DeliveryReason,
    DeliveryState,
    FireId,
    MailTry,
    OtherMails,
    Outcome,
    WaitingMails,
)
from alerts.domain.fires import Fire
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick
from alerts.domain.targets import parse_target
from alerts.feed.mails import CALM_LOOK_SECONDS, LOOK_SECONDS, Mails, make_policy
from bourse.alerts.v1 import alerts_pb2, events_pb2
from chassis.clock import ManualClock
from chassis.errors import DatabaseUnavailable
from chassis.event_reader import Again
from mail.mailers import MailRefused, MailUnavailable
from mail.messages import Letter

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
TOLD_AT = START + timedelta(milliseconds=3)
TICK = EvaluatedTick(149.5, START, "sample", "feed-1", 7, 3, 9, Position(1, 9))
POLICY = make_policy(mails_per_hour=100, verified_only=False, try_seconds=10)


def make_try(alert_id: int, attempts: int) -> MailTry:
    fire = Fire(
        alert_id=alert_id,
        generation=1,
        type=AlertType.BUY,
        instrument="NASDAQ:AAPL",
        symbol="AAPL",
        price=parse_target("150"),
        tick=TICK,
        before=None,
        committed_at=START,
        crossed_during_gap=False,
        note="for the car",
    )
    return MailTry(fire, Freshness.LIVE, str(alert_id), attempts)


class Shelf:
    """Deliveries in memory: due times and tries by fire, and what became of them."""

    def __init__(self) -> None:
        self.waiting: dict[FireId, tuple[datetime, int]] = {}
        self.settled: dict[FireId, Outcome] = {}
        self.told: dict[FireId, datetime] = {}
        self.counted: list[tuple[MailTry, datetime]] = []
        self.shown: dict[FireId, bool] = {}
        self.under_way = 0
        self.is_taken_over = False
        self.failures = 0
        self.breakage: Exception | None = None

    def _answer(self) -> None:
        if self.breakage is not None:
            raise self.breakage
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailable

    async def begin(self, fire_id: FireId, *, told_at: datetime, now: datetime) -> MailTry | None:
        await self.postpone(fire_id, told_at=told_at, due_at=now)
        return await self.claim(fire_id, now=now)

    async def postpone(self, fire_id: FireId, *, told_at: datetime, due_at: datetime) -> None:
        self._answer()
        if self.told.setdefault(fire_id, told_at) is told_at and fire_id not in self.settled:
            self.waiting.setdefault(fire_id, (due_at, 0))

    async def due(self, now: datetime, *, limit: int) -> list[FireId]:
        self._answer()
        return [each for each, (due_at, _) in self.waiting.items() if due_at <= now][:limit]

    async def count_waiting(self) -> WaitingMails:
        self._answer()
        return WaitingMails(len(self.waiting), START if self.waiting else None)

    async def claim(self, fire_id: FireId, *, now: datetime) -> MailTry | None:
        self._answer()
        due_at, attempts = self.waiting.get(fire_id, (now, -1))
        if attempts < 0 or due_at > now:
            return None
        self.waiting[fire_id] = now + POLICY.lease, attempts + 1
        return make_try(fire_id.alert_id, attempts + 1)

    async def admit(self, mail: MailTry, contact: Contact, *, now: datetime) -> MailTry | Outcome | None:
        self._answer()
        if self.is_taken_over:
            return None
        others = [each for each, at in self.counted if at > now - HOUR and each.fire != mail.fire]
        instead = POLICY.before_send(mail, contact, OtherMails(len(others), self.under_way), now=now)
        if instead is not None:
            return instead
        self.counted.append((mail, now))
        return replace(mail, shows_note=self.shown.setdefault(FireId.of(mail.fire), contact.is_verified))

    async def forget_addresses(self, before: datetime) -> None:
        self._answer()
        self.counted = [(each, at) for each, at in self.counted if at > before]

    async def settle(self, mail: MailTry, outcome: Outcome) -> None:
        self._answer()
        fire_id = FireId.of(mail.fire)
        _, attempts = self.waiting.pop(fire_id)
        if outcome.due_at is not None:
            self.waiting[fire_id] = outcome.due_at, attempts
        else:
            self.settled[fire_id] = outcome


class Book:
    """Knows everybody, unless told otherwise."""

    def __init__(self) -> None:
        self.is_away = False
        self.gone: set[str] = set()
        self.unverified: set[str] = set()

    async def find(self, user_id: str) -> Contact | None:
        if self.is_away:
            raise ContactsUnavailable
        if user_id in self.gone:
            return None
        return Contact(
            f"{user_id}@example.com",
            is_verified=user_id not in self.unverified,
            wants_alerts=user_id != "13",
            unsubscribe_token="t",
        )


class Post:
    """Takes letters; fails as it is told to."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.failure_of: Callable[[Letter], Exception | None] = lambda _: None
        self.is_slow: asyncio.Event | None = None

    async def send(self, letter: Letter) -> None:
        if self.is_slow is not None:
            await self.is_slow.wait()
        failure = self.failure_of(letter)
        if failure is not None:
            raise failure
        self.letters.append(letter)


class Office:
    """Mails with everything around them."""

    def __init__(self) -> None:
        self.shelf, self.book, self.post, self.clock = Shelf(), Book(), Post(), ManualClock(START)
        self.mails = Mails(
            self.shelf, self.book, self.post, policy=POLICY, public_url="https://example.com", clock=self.clock
        )

    async def take(self, alert_id: int, *, delivery: int = 1) -> Again | None:
        event = events_pb2.AlertFired(alert=alerts_pb2.Alert(id=str(alert_id), generation=1))
        return await self.mails.take(message_of(event.SerializeToString(), delivery))

    def state_of(self, alert_id: int) -> tuple[DeliveryState, DeliveryReason | None]:
        outcome = self.shelf.settled[FireId(alert_id, 1)]
        return outcome.state, outcome.reason


def message_of(payload: bytes, delivery: int) -> Msg:
    class Stored:
        data = payload
        metadata = Msg.Metadata(
            sequence=Msg.Metadata.SequencePair(1, 1),
            num_pending=0,
            num_delivered=delivery,
            timestamp=TOLD_AT,
            stream="EVENTS",
            consumer="alerts_mail",
        )

    message: Any = Stored()
    return message  # type: ignore[no-any-return]  # all of one that is read


@pytest.fixture
def office() -> Office:
    return Office()


async def test_a_fire_is_told_once_however_often_its_event_comes(office: Office) -> None:
    assert await office.take(1) is None
    assert await office.take(1, delivery=2) is None
    (letter,) = office.post.letters
    assert (letter.id, letter.to) == ("alert-1-1", "1@example.com")
    assert office.state_of(1) == (DeliveryState.SENT, None)
    assert office.shelf.told == {FireId(1, 1): TOLD_AT}


async def test_what_is_no_event_of_a_fire_is_given_up(office: Office) -> None:
    with pytest.raises(ValueError, match="AlertFired"):
        await office.mails.take(message_of(b"\xff", 1))


async def test_who_is_gone_or_wants_none_gets_none(office: Office) -> None:
    office.book.gone.add("1")
    await office.take(1)
    await office.take(13)
    assert office.state_of(1) == (DeliveryState.SKIPPED, DeliveryReason.ACCOUNT_GONE)
    assert office.state_of(13) == (DeliveryState.SKIPPED, DeliveryReason.UNSUBSCRIBED)
    assert office.post.letters == []


async def test_what_is_too_much_for_an_address_is_not_sent(office: Office) -> None:
    office.shelf.counted = [(make_try(number, 1), START) for number in range(2, 102)]
    await office.take(1)
    assert office.state_of(1) == (DeliveryState.SKIPPED, DeliveryReason.TOO_MANY)
    assert office.post.letters == []


async def test_while_others_on_their_way_could_be_as_many_as_an_address_gets_a_mail_waits(office: Office) -> None:
    office.shelf.under_way = 100
    await office.take(1)
    assert (office.post.letters, office.shelf.waiting) == ([], {FireId(1, 1): (START + FIRST_WAIT, 1)})
    office.shelf.under_way = 0
    await office.clock.advance(FIRST_WAIT.total_seconds())
    assert await office.mails.repeat()
    assert office.state_of(1) == (DeliveryState.SENT, None)


async def test_a_mail_that_another_took_over_is_left_to_them(office: Office) -> None:
    office.shelf.is_taken_over = True
    await office.take(1)
    assert office.post.letters == []
    assert office.shelf.settled == {}
    assert office.shelf.waiting == {FireId(1, 1): (START + POLICY.lease, 1)}


async def test_what_was_counted_is_forgotten_behind_an_hour(office: Office) -> None:
    office.shelf.counted = [(make_try(number, 1), START + number * HOUR / 2) for number in (0, 1)]
    running = asyncio.create_task(office.mails.run_repeats())
    await settled()
    left = []
    for _ in range(3):
        left.append(len(office.shelf.counted))
        await office.clock.advance(HOUR.total_seconds() / 2)
        await settled()
    running.cancel()
    assert left == [2, 2, 1]


async def test_a_refused_letter_is_not_tried_again_and_others_go_on(office: Office) -> None:
    office.post.failure_of = lambda letter: MailRefused() if letter.to.startswith("1@") else None
    await asyncio.gather(office.take(1), office.take(2))
    assert office.state_of(1) == (DeliveryState.FAILED, DeliveryReason.REFUSED)
    assert office.state_of(2) == (DeliveryState.SENT, None)
    assert office.shelf.waiting == {}


async def test_while_auth_is_away_the_mail_waits(office: Office) -> None:
    office.book.is_away = True
    await office.take(1)
    assert not await office.mails.repeat()
    office.book.is_away = False
    await office.clock.advance(FIRST_WAIT.total_seconds())
    assert await office.mails.repeat()
    assert [letter.id for letter in office.post.letters] == ["alert-1-1"]


async def test_a_server_that_is_away_is_said_once_and_the_same_letters_go_when_it_is_back(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="alerts.feed.mails")
    tried: list[Letter] = []

    def away(letter: Letter) -> Exception | None:
        tried.append(letter)
        return MailUnavailable()

    office.post.failure_of = away
    count = 3 * FAILURES_OF_AN_OUTAGE
    for number in range(1, count + 1):
        assert await office.take(number + 100) is None
    assert len(tried) == FAILURES_OF_AN_OUTAGE
    office.post.failure_of = lambda _: None
    await office.clock.advance(FIRST_WAIT.total_seconds())
    while await office.mails.repeat():
        pass
    assert sorted(letter.id for letter in office.post.letters) == sorted(
        f"alert-{number + 100}-1" for number in range(1, count + 1)
    )
    assert all(letter in office.post.letters for letter in tried)
    messages = [record.message for record in caplog.records if "get through" in record.message]
    assert messages == ["alert mails do not get through", "alert mails get through again"]


async def test_while_the_database_is_away_the_event_comes_again_ever_later(office: Office) -> None:
    waits = []
    for delivery in (1, 2, 5, 100):
        office.shelf.failures = 1
        waits.append(await office.take(1, delivery=delivery))
    assert waits == [Again(2), Again(4), Again(32), Again(60)]


async def test_that_a_mail_was_sent_is_recorded_when_the_database_is_back_soon(office: Office) -> None:
    def lose_database(_: Letter) -> Exception | None:
        office.shelf.failures = 1
        return None

    office.post.failure_of = lose_database
    taking = asyncio.create_task(office.take(1))
    await settled()
    await office.clock.advance(1)
    assert await taking is None
    assert office.state_of(1) == (DeliveryState.SENT, None)


async def test_what_could_not_be_recorded_is_sent_again_as_the_same_letter(office: Office) -> None:
    def lose_database(_: Letter) -> Exception | None:
        office.shelf.failures = 3
        return None

    office.post.failure_of = lose_database
    taking = asyncio.create_task(office.take(1))
    await settled()
    await office.clock.advance(1)
    await settled()
    await office.clock.advance(1)
    assert await taking == Again(2)
    office.post.failure_of = lambda _: None
    await office.clock.advance(POLICY.lease.total_seconds())
    assert await office.mails.repeat()
    first, second = office.post.letters
    assert first == second


async def test_an_address_that_was_verified_meanwhile_gets_the_same_letter_again(office: Office) -> None:
    tried: list[Letter] = []

    def lose_answer(letter: Letter) -> Exception | None:
        tried.append(letter)
        return MailUnavailable()

    office.post.failure_of = lose_answer
    office.book.unverified.add("1")
    await office.take(1)
    await office.take(2)
    office.book.unverified.clear()
    office.post.failure_of = lambda _: None
    await office.clock.advance(FIRST_WAIT.total_seconds())
    await office.mails.repeat()
    assert office.post.letters == tried
    assert ["for the car" in letter.text for letter in tried] == [False, True]


async def test_one_mail_that_cannot_be_made_keeps_no_other_from_being_sent(office: Office) -> None:
    office.post.failure_of = lambda letter: RuntimeError("odd") if letter.to.startswith("1@") else None
    for number in (1, 2):
        await office.shelf.postpone(FireId(number, 1), told_at=TOLD_AT, due_at=START)
    assert await office.mails.repeat()
    assert office.state_of(2) == (DeliveryState.SENT, None)
    office.shelf.waiting.clear()
    office.shelf.waiting[FireId(3, 1)] = START, 0
    office.post.failure_of = lose_for_long(office.shelf)
    repeating = asyncio.create_task(office.mails.repeat())
    for _ in range(3):
        await settled()
        await office.clock.advance(1)
    assert not await repeating


def lose_for_long(shelf: Shelf) -> Callable[[Letter], Exception | None]:
    def lose(_: Letter) -> Exception | None:
        shelf.failures = 3
        return None

    return lose


async def test_it_looks_again_after_a_pause_whatever_happened(office: Office) -> None:
    running = asyncio.create_task(office.mails.run_repeats())
    await settled()
    office.shelf.failures = 1
    await office.clock.advance(LOOK_SECONDS)
    await settled()
    office.shelf.breakage = RuntimeError("odd")
    await office.clock.advance(LOOK_SECONDS)
    await settled()
    office.shelf.breakage = None
    await office.shelf.postpone(FireId(1, 1), told_at=TOLD_AT, due_at=START)
    await office.clock.advance(LOOK_SECONDS)
    await settled()
    running.cancel()
    assert office.state_of(1) == (DeliveryState.SENT, None)


async def test_told_to_stop_it_finishes_what_is_being_sent(office: Office) -> None:
    office.post.is_slow = asyncio.Event()
    taking = asyncio.create_task(office.take(1))
    await settled()
    taking.cancel()
    finishing = asyncio.create_task(office.mails.finish())
    await settled()
    office.post.is_slow.set()
    await finishing
    assert office.state_of(1) == (DeliveryState.SENT, None)
    await office.mails.finish()


async def test_told_to_stop_it_gives_up_a_server_that_takes_for_ever(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.feed.mails.FINISH_SECONDS", 0.01)
    office.post.is_slow = asyncio.Event()
    taking = asyncio.create_task(office.take(1))
    await settled()
    taking.cancel()
    await office.mails.finish()
    assert FireId(1, 1) in office.shelf.waiting
    # Whoever comes next takes over once the lease has ended.
    assert await office.shelf.claim(FireId(1, 1), now=START + POLICY.lease) == make_try(1, 2)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_in_a_storm_of_fires_a_mail_waits_for_them() -> None:
    stand = Office()
    looks = iter([True, True])
    stand.mails = Mails(
        stand.shelf,
        stand.book,
        stand.post,
        policy=POLICY,
        public_url="https://example.com",
        clock=stand.clock,
        is_busy=lambda: next(looks, False),
    )

    taking = asyncio.create_task(stand.take(1))
    await asyncio.sleep(0)
    await stand.clock.advance(CALM_LOOK_SECONDS)
    assert not stand.shelf.settled
    await stand.clock.advance(CALM_LOOK_SECONDS)
    await taking

    assert stand.state_of(1)[0] is DeliveryState.SENT


async def test_it_knows_what_waits_and_whether_new_mails_do(office: Office) -> None:
    office.post.failure_of = lambda _: MailUnavailable()
    assert not office.mails.are_held_back
    for alert_id in range(1, FAILURES_OF_AN_OUTAGE + 1):
        await office.take(alert_id)
    assert office.mails.are_held_back
    repeating = asyncio.create_task(office.mails.run_repeats())
    while office.mails.waiting.count == 0:
        await asyncio.sleep(0)
    repeating.cancel()
    assert office.mails.waiting == WaitingMails(FAILURES_OF_AN_OUTAGE, START)
