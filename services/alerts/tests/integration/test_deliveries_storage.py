import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert, select

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.deliveries import (
    FIRST_WAIT,
    GIVE_UP_AFTER,
    HOUR,
    UNVERIFIED_MAILS_PER_HOUR,
    Channel,
    Contact,
    Delivery,
    DeliveryReason,
    DeliveryState,
    FireId,
    MailPolicy,
    MailTry,
    Outcome,
)
from alerts.domain.fires import Fire
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick
from alerts.storage.alerts import Alerts
from alerts.storage.deliveries import Deliveries
from alerts.storage.tables import ADDRESS_MAILS, DELIVERIES, FIRES
from chassis.database import Database, ensure_schema

START = datetime(2026, 1, 5, 9, 15, 0, 123_456, tzinfo=UTC)
TOLD_AT = START + timedelta(milliseconds=3)
LEASE = timedelta(minutes=1)
CONTACT = Contact("a@example.com", is_verified=True, wants_alerts=True, unsubscribe_token="t")
SHOUTED = replace(CONTACT, email="A@Example.com")
TOO_MANY = Outcome.skipped(DeliveryReason.TOO_MANY)
UNVERIFIED = replace(CONTACT, is_verified=False)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database.open(database_url) as opened:
        await ensure_schema(opened, "alerts")
        yield opened


@pytest.fixture
def deliveries(database: Database) -> Deliveries:
    return deliveries_of(database)


def deliveries_of(database: Database, *, mails_per_hour: int = 100) -> Deliveries:
    policy = MailPolicy(mails_per_hour, verified_only=False, lease=LEASE)
    return Deliveries(database, policy, sender="Bourse <bourse@example.com>")


TICK = EvaluatedTick(150.1, START, "sample", "feed-1", 7, 15, 9, Position(1, 41), Freshness.SIMULATED)
FIRE = Fire(
    alert_id=1,
    generation=1,
    type=AlertType.BUY,
    instrument="NASDAQ:AAPL",
    symbol="AAPL",
    price=Decimal("150.10"),
    tick=TICK,
    before=None,
    committed_at=START,
    crossed_during_gap=False,
    note=None,
)


async def fire(database: Database, *, alert_id: int = 1, user_id: str = "7") -> FireId:
    """Leave the receipt of a fire, as a commit of it does."""
    receipt = {
        **{name: getattr(TICK, name) for name in ("source", "publisher_id", "epoch", "shard", "sequence")},
        **{name: getattr(FIRE, name) for name in ("generation", "instrument", "symbol", "committed_at")},
        "alert_id": alert_id,
        "user_id": user_id,
        "type": "buy",
        "price": "150.10",
        "fired_at": TICK.at,
        "fired_price": TICK.price,
        "freshness": "SIMULATED",
        "stream": TICK.position.stream,
        "stream_sequence": TICK.position.sequence,
        "crossed_during_gap": False,
    }
    async with database.transaction() as connection:
        await connection.execute(insert(FIRES).values(receipt))
    return FireId(alert_id, 1)


async def begin(deliveries: Deliveries, fire_id: FireId, *, now: datetime = START) -> MailTry:
    mail = await deliveries.begin(fire_id, told_at=TOLD_AT, now=now)
    assert mail is not None
    return mail


async def claim(deliveries: Deliveries, fire_id: FireId, *, now: datetime) -> MailTry:
    mail = await deliveries.claim(fire_id, now=now)
    assert mail is not None
    return mail


def admitted(mail: MailTry) -> MailTry:
    return replace(mail, shows_note=True)


async def mail_of(deliveries: Deliveries, fire_id: FireId) -> Delivery:
    event, email = (await deliveries.of_fires([fire_id]))[fire_id]
    assert event == Delivery(Channel.EVENT, DeliveryState.SENT, fire_id.event_id, attempts=1, sent_at=TOLD_AT)
    assert (email.channel, email.message_id) == (Channel.EMAIL, f"<{fire_id.letter_id}@example.com>")
    return email


async def test_a_mail_is_tried_by_one_until_its_lease_ends(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    mail = await begin(deliveries, fire_id)
    assert (mail.user_id, mail.attempts, mail.freshness) == ("7", 1, Freshness.SIMULATED)
    assert mail.fire == FIRE
    assert await deliveries.begin(fire_id, told_at=START, now=START) is None
    assert await deliveries.due(START + LEASE - timedelta(microseconds=1), limit=5) == []
    assert await deliveries.due(START + LEASE, limit=5) == [fire_id]
    again = await deliveries.claim(fire_id, now=START + LEASE)
    assert again == replace(mail, attempts=2)
    assert await mail_of(deliveries, fire_id) == Delivery(
        Channel.EMAIL, DeliveryState.WAITING, "<alert-1-1@example.com>", attempts=2
    )


async def test_a_sent_mail_is_never_tried_again(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    mail = await begin(deliveries, fire_id)
    await deliveries.settle(mail, Outcome.sent(START))
    assert await deliveries.begin(fire_id, told_at=START, now=START + HOUR) is None
    assert await deliveries.claim(fire_id, now=START + HOUR) is None
    assert await deliveries.due(START + HOUR, limit=5) == []
    told = await mail_of(deliveries, fire_id)
    assert (told.state, told.sent_at, told.attempts) == (DeliveryState.SENT, START, 1)


async def test_a_mail_that_did_not_get_through_is_due_later(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    mail = await begin(deliveries, fire_id)
    later = Outcome.later(mail.attempts, now=START)
    await deliveries.settle(mail, later)
    assert later.due_at is not None
    assert await deliveries.claim(fire_id, now=later.due_at - timedelta(seconds=1)) is None
    assert await deliveries.claim(fire_id, now=later.due_at) == replace(mail, attempts=2)


async def test_whose_lease_has_ended_can_only_say_that_it_was_sent(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    first = await begin(deliveries, fire_id)
    second = await deliveries.claim(fire_id, now=START + LEASE)
    assert second is not None
    await deliveries.settle(first, Outcome.failed(DeliveryReason.REFUSED))
    assert (await mail_of(deliveries, fire_id)).state is DeliveryState.WAITING
    await deliveries.settle(first, Outcome.sent(START))
    await deliveries.settle(second, Outcome.failed(DeliveryReason.REFUSED))
    told = await mail_of(deliveries, fire_id)
    assert (told.state, told.reason) == (DeliveryState.SENT, None)


async def test_a_postponed_mail_is_due_when_it_was_said(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    due_at = START + timedelta(seconds=30)
    await deliveries.postpone(fire_id, told_at=TOLD_AT, due_at=due_at)
    await deliveries.postpone(fire_id, told_at=START, due_at=START)
    assert (await mail_of(deliveries, fire_id)).attempts == 0
    assert await deliveries.due(START, limit=5) == []
    mail = await deliveries.claim(fire_id, now=due_at)
    assert mail is not None
    assert mail.attempts == 1


async def test_the_longest_due_come_first_and_so_many_as_are_asked_for(
    database: Database, deliveries: Deliveries
) -> None:
    for number in (1, 2, 3):
        fire_id = await fire(database, alert_id=number)
        await deliveries.postpone(fire_id, told_at=TOLD_AT, due_at=START - timedelta(seconds=number))
    assert await deliveries.due(START, limit=2) == [FireId(3, 1), FireId(2, 1)]


async def begin_all(database: Database, deliveries: Deliveries, count: int) -> list[MailTry]:
    return [await begin(deliveries, await fire(database, alert_id=number)) for number in range(1, count + 1)]


async def test_an_address_gets_only_so_many_mails_an_hour(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=2)
    first, second, third, other = await begin_all(database, deliveries, 4)
    assert await deliveries.admit(first, CONTACT, now=START) == admitted(first)
    # A repeat is not one more.
    assert await deliveries.admit(first, CONTACT, now=START) == admitted(first)
    assert await deliveries.admit(second, SHOUTED, now=START) == admitted(second)
    await deliveries.settle(first, Outcome.sent(START))
    await deliveries.settle(second, Outcome.sent(START + LEASE))
    assert await deliveries.admit(third, CONTACT, now=START + timedelta(minutes=59)) == TOO_MANY
    assert await deliveries.admit(other, replace(CONTACT, email="b@example.com"), now=START) == admitted(other)
    assert await deliveries.admit(third, CONTACT, now=START + HOUR) == admitted(third)


async def test_mails_that_only_wait_take_nothing_of_the_hour(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=2)
    waiting = await begin_all(database, deliveries, 6)
    now = START
    # The mail server is away: each is tried again and again, and none is sent.
    for _ in range(5):
        for mail in waiting:
            assert await deliveries.admit(mail, CONTACT, now=now) == admitted(mail)
            await deliveries.settle(mail, Outcome.later(1, now=now))
        now += FIRST_WAIT
        waiting = [await claim(deliveries, FireId.of(mail.fire), now=now) for mail in waiting]
    # It is back.
    for mail in waiting[:2]:
        assert await deliveries.admit(mail, CONTACT, now=now) == admitted(mail)
        await deliveries.settle(mail, Outcome.sent(now))
    assert [await deliveries.admit(mail, CONTACT, now=now) for mail in waiting[2:]] == [TOO_MANY] * 4


async def test_a_mail_waits_while_those_under_way_could_be_as_many_as_the_address_gets(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=2)
    first, second, third = await begin_all(database, deliveries, 3)
    await deliveries.admit(first, CONTACT, now=START)
    await deliveries.admit(second, CONTACT, now=START)
    await deliveries.settle(first, Outcome.sent(START))
    assert await deliveries.admit(third, CONTACT, now=START) == Outcome.later(1, now=START)
    await deliveries.settle(second, Outcome.failed(DeliveryReason.REFUSED))
    assert await deliveries.admit(third, CONTACT, now=START) == admitted(third)


async def test_who_died_while_sending_is_under_way_until_the_lease_ends(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=1)
    first, second = await begin_all(database, deliveries, 2)
    await deliveries.admit(first, CONTACT, now=START)
    early = START + LEASE - timedelta(microseconds=1)
    assert await deliveries.admit(second, CONTACT, now=early) == Outcome.later(1, now=early)
    assert await deliveries.admit(second, CONTACT, now=START + LEASE) == admitted(second)


async def test_a_mail_that_was_told_already_is_not_sent(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    paused = await begin(deliveries, fire_id)
    second = await claim(deliveries, fire_id, now=START + LEASE)
    assert await deliveries.admit(paused, CONTACT, now=START + LEASE) is None
    assert await deliveries.admit(second, CONTACT, now=START + LEASE) == admitted(second)
    await deliveries.settle(second, Outcome.sent(START + LEASE))
    assert await deliveries.admit(paused, CONTACT, now=START + LEASE) is None
    assert await deliveries.admit(second, CONTACT, now=START + LEASE) is None


async def test_a_mail_that_is_about_to_be_sent_is_nobody_elses(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    mail = await begin(deliveries, fire_id)
    now = START + LEASE
    await deliveries.admit(mail, CONTACT, now=now)
    assert await deliveries.claim(fire_id, now=now) is None
    assert await claim(deliveries, fire_id, now=now + LEASE) == replace(mail, attempts=2)


async def test_whose_lease_has_ended_ends_no_other_try(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=1)
    first, other = await begin_all(database, deliveries, 2)
    await deliveries.admit(first, CONTACT, now=START)
    now = START + LEASE
    second = await claim(deliveries, FireId.of(first.fire), now=now)
    await deliveries.admit(second, CONTACT, now=now)
    await deliveries.settle(first, Outcome.later(1, now=now))
    assert await deliveries.admit(other, CONTACT, now=now) == Outcome.later(1, now=now)
    # That it was sent counts, whoever says so.
    await deliveries.settle(first, Outcome.sent(now))
    assert await deliveries.admit(other, CONTACT, now=now) == TOO_MANY


async def test_an_address_that_is_not_verified_gets_few_whatever_is_set(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=100)
    mails = [await begin(deliveries, await fire(database, alert_id=number)) for number in range(1, 12)]
    answers = []
    for mail in mails:
        answers.append(await deliveries.admit(mail, UNVERIFIED, now=START))
        await deliveries.settle(mail, Outcome.sent(START) if answers[-1] == mail else Outcome.later(1, now=START))
    assert answers == [*mails[:UNVERIFIED_MAILS_PER_HOUR], TOO_MANY]
    assert await deliveries.admit(mails[-1], CONTACT, now=START) == admitted(mails[-1])


async def test_whether_a_mail_shows_its_note_is_decided_once(database: Database, deliveries: Deliveries) -> None:
    first, second = [await begin(deliveries, await fire(database, alert_id=number)) for number in (1, 2)]
    assert (first.shows_note, await deliveries.admit(first, UNVERIFIED, now=START)) == (False, first)
    assert await deliveries.admit(first, CONTACT, now=START) == first
    again = await deliveries.claim(FireId(1, 1), now=START + LEASE)
    assert again is not None
    assert await deliveries.admit(again, CONTACT, now=START + LEASE) == again
    assert await deliveries.admit(second, CONTACT, now=START) == admitted(second)


async def test_who_registers_an_address_again_and_again_sends_it_no_more_mails(database: Database) -> None:
    deliveries, alerts = deliveries_of(database, mails_per_hour=2), Alerts(database)
    answers = []
    for number in range(1, 5):
        user_id = f"user-{number}"
        mail = await begin(deliveries, await fire(database, alert_id=number, user_id=user_id))
        answers.append(await deliveries.admit(mail, CONTACT, now=START))
        # The account may go before it is recorded that the mail was sent.
        if number == 1:
            await alerts.delete_user(user_id, through=START + HOUR)
        await deliveries.settle(mail, Outcome.sent(START))
        await alerts.delete_user(user_id, through=START + HOUR)
    assert answers[2:] == [TOO_MANY] * 2
    assert all(isinstance(answer, MailTry) for answer in answers[:2])


async def test_of_a_deleted_account_a_digest_stays_for_an_hour(database: Database, deliveries: Deliveries) -> None:
    mail = await begin(deliveries, await fire(database))
    await deliveries.admit(mail, CONTACT, now=START)
    await Alerts(database).delete_user("7", through=START + HOUR)
    await deliveries.forget_addresses(START - timedelta(seconds=1))
    query = select(ADDRESS_MAILS)
    async with database.reading() as connection:
        (kept,) = await connection.execute(query)
    assert tuple(kept) == (1, 1, CONTACT.address_digest, "trying", START)
    await deliveries.forget_addresses(START)
    async with database.reading() as connection:
        assert list(await connection.execute(query)) == []


async def test_mails_tried_at_once_are_counted_all_the_same(database: Database) -> None:
    deliveries = deliveries_of(database, mails_per_hour=3)
    mails = [await begin(deliveries, await fire(database, alert_id=number)) for number in range(1, 9)]
    answers = await asyncio.gather(*(deliveries.admit(mail, CONTACT, now=START) for mail in mails))
    assert answers.count(Outcome.later(1, now=START)) == 5


async def test_the_same_event_in_two_places_is_one_try(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    mails = await asyncio.gather(*(deliveries.begin(fire_id, told_at=TOLD_AT, now=START) for _ in range(4)))
    assert sum(mail is not None for mail in mails) == 1


async def test_what_is_a_day_old_is_given_up(database: Database, deliveries: Deliveries) -> None:
    fire_id = await fire(database)
    now = START + GIVE_UP_AFTER + timedelta(seconds=1)
    assert await deliveries.begin(fire_id, told_at=TOLD_AT, now=now) is None
    told = await mail_of(deliveries, fire_id)
    assert (told.state, told.reason, told.attempts) == (DeliveryState.FAILED, DeliveryReason.UNDELIVERABLE, 0)


async def test_with_the_account_go_its_deliveries_and_none_come_again(
    database: Database, deliveries: Deliveries
) -> None:
    mine, other = await fire(database), await fire(database, alert_id=2, user_id="8")
    mail = await begin(deliveries, mine)
    await begin(deliveries, other)
    await Alerts(database).delete_user("7", through=START + HOUR)
    await deliveries.settle(mail, Outcome.sent(START))
    assert await deliveries.admit(mail, CONTACT, now=START) == Outcome.skipped(DeliveryReason.ACCOUNT_GONE)
    assert await deliveries.begin(mine, told_at=TOLD_AT, now=START + LEASE) is None
    assert await deliveries.claim(mine, now=START + LEASE) is None
    async with database.reading() as connection:
        assert {row.user_id for row in await connection.execute(select(DELIVERIES))} == {"8"}


async def test_fires_of_which_nobody_has_heard_are_missing(database: Database, deliveries: Deliveries) -> None:
    first, second = await fire(database), await fire(database, alert_id=2)
    await begin(deliveries, second)
    assert list(await deliveries.of_fires([first, second])) == [second]
