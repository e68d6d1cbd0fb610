import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.deliveries import (
    FAILURES_OF_AN_OUTAGE,
    GIVE_UP_AFTER,
    LONGEST_WAIT,
    UNVERIFIED_MAILS_PER_HOUR,
    Contact,
    DeliveryReason,
    DeliveryState,
    FireId,
    FireIdInvalid,
    MailPolicy,
    MailRoute,
    MailTry,
    OtherMails,
    Outcome,
    wait_after,
)
from alerts.domain.fires import Fire
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick
from alerts.domain.targets import parse_target
from alerts.messages import EventUnreadable, read_fired
from bourse.alerts.v1 import alerts_pb2, events_pb2

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)
POLICY = MailPolicy(mails_per_hour=3, verified_only=True, lease=timedelta(minutes=1))


def contact(*, is_verified: bool = True, wants_alerts: bool = True) -> Contact:
    return Contact("somebody@example.com", is_verified, wants_alerts, unsubscribe_token="a-token")


def test_a_fire_names_its_event_and_its_letter() -> None:
    fire_id = FireId.read("42", 3)
    assert (fire_id, fire_id.event_id, fire_id.letter_id) == (FireId(42, 3), "42:3", "alert-42-3")


@pytest.mark.parametrize(
    ("alert_id", "generation"),
    [("", 1), ("0", 1), ("-1", 1), ("x", 1), ("²", 1), ("1", 0), ("1", 1 << 31), (str(1 << 63), 1), ("9" * 5_000, 1)],
)
def test_what_no_fire_can_be_called_is_refused(alert_id: str, generation: int) -> None:
    with pytest.raises(FireIdInvalid, match="above 0"):
        FireId.read(alert_id, generation)


def test_an_event_says_which_fire_it_tells_of() -> None:
    event = events_pb2.AlertFired(alert=alerts_pb2.Alert(id="42", generation=3))
    assert read_fired(event.SerializeToString()) == FireId(42, 3)
    with pytest.raises(EventUnreadable, match=re.escape("no AlertFired")):
        read_fired(b"\xff")


def test_waits_double_up_to_a_quarter_of_an_hour() -> None:
    waits = [wait_after(attempts).total_seconds() for attempts in (0, 1, 2, 3, 5, 6, 7, 1_000_000)]
    assert waits == [30, 30, 60, 120, 480, 900, 900, 900]


@given(attempts=st.integers(0, 100))
def test_no_wait_is_shorter_than_the_one_before_it(attempts: int) -> None:
    assert wait_after(attempts) <= wait_after(attempts + 1) <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (timedelta(0), None),
        (GIVE_UP_AFTER, None),
        (GIVE_UP_AFTER + timedelta(seconds=1), Outcome.failed(DeliveryReason.UNDELIVERABLE)),
    ],
)
def test_old_mails_are_given_up(age: timedelta, expected: Outcome | None) -> None:
    assert POLICY.before_try(START, now=START + age) == expected


def test_an_address_that_is_not_verified_gets_few_mails() -> None:
    assert POLICY.limit_of(contact()) == 3
    assert POLICY.limit_of(contact(is_verified=False)) == 3
    generous = replace(POLICY, mails_per_hour=100)
    assert generous.limit_of(contact()) == 100
    assert generous.limit_of(contact(is_verified=False)) == UNVERIFIED_MAILS_PER_HOUR


def make_try(attempts: int) -> MailTry:
    fire = Fire(
        alert_id=1,
        generation=1,
        type=AlertType.BUY,
        instrument="NASDAQ:AAPL",
        symbol="AAPL",
        price=parse_target("150"),
        tick=EvaluatedTick(149.5, START, "sample", "feed-1", 7, 3, 9, Position(1, 9)),
        before=None,
        committed_at=START,
        crossed_during_gap=False,
        note=None,
    )
    return MailTry(fire, Freshness.LIVE, "7", attempts)


@pytest.mark.parametrize(
    ("sent", "under_way", "expected"),
    [
        (0, 0, None),
        (2, 0, None),
        (1, 1, None),
        (0, 3, Outcome.later(2, now=START)),
        (2, 1, Outcome.later(2, now=START)),
        (2, 9, Outcome.later(2, now=START)),
        (3, 0, Outcome.skipped(DeliveryReason.TOO_MANY)),
        (4, 1, Outcome.skipped(DeliveryReason.TOO_MANY)),
    ],
)
def test_only_sent_mails_make_one_too_many_and_those_under_way_let_it_wait(
    sent: int, under_way: int, expected: Outcome | None
) -> None:
    assert POLICY.before_send(make_try(2), contact(), OtherMails(sent, under_way), now=START) == expected


def test_an_address_is_counted_by_its_digest_however_it_is_written() -> None:
    shouted = replace(contact(), email="SomeBody@Example.com")
    assert contact().address_digest == shouted.address_digest
    assert contact().address_digest == hashlib.sha256(b"somebody@example.com").hexdigest()


def test_who_does_not_want_mails_or_may_get_none_is_not_written_to() -> None:
    assert POLICY.why_not(None) is DeliveryReason.ACCOUNT_GONE
    assert POLICY.why_not(contact(wants_alerts=False)) is DeliveryReason.UNSUBSCRIBED
    assert POLICY.why_not(contact(is_verified=False)) is DeliveryReason.UNVERIFIED
    assert POLICY.why_not(contact()) is None
    lenient = MailPolicy(3, verified_only=False, lease=POLICY.lease)
    assert lenient.why_not(contact(is_verified=False)) is None


def test_outcomes_say_when_they_happened_or_are_due() -> None:
    assert Outcome.sent(START) == Outcome(DeliveryState.SENT, sent_at=START)
    assert Outcome.later(2, now=START).due_at == START + timedelta(minutes=1)


def test_a_contact_is_not_printed() -> None:
    assert "somebody" not in repr(contact())
    assert "a-token" not in repr(contact())


def test_a_row_of_failures_is_an_outage_until_a_mail_gets_through() -> None:
    route = MailRoute()
    told = [route.note_failure() for _ in range(FAILURES_OF_AN_OUTAGE + 2)]
    assert told == [number == FAILURES_OF_AN_OUTAGE for number in range(1, FAILURES_OF_AN_OUTAGE + 3)]
    assert route.is_down
    assert (route.note_success(), route.is_down, route.note_success()) == (True, False, False)


def test_a_success_between_failures_is_no_outage() -> None:
    route = MailRoute()
    for _ in range(3):
        for _ in range(FAILURES_OF_AN_OUTAGE - 1):
            assert not route.note_failure()
        assert not route.note_success()
