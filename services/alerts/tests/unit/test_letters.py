from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts.domain.alerts import AlertType, Freshness
from alerts.domain.deliveries import Contact, MailTry
from alerts.domain.fires import Fire
from alerts.domain.letters import LATE, SIMULATED, UNVERIFIED, letter_of
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick
from mail.messages import Letter, compose
from mail.notice import NOTICE

START = datetime(2026, 1, 5, 9, 15, 0, 123_456, tzinfo=UTC)
TICK = EvaluatedTick(149.5, START, "zerodha", "feed-1", 7, 3, 9, Position(1, 9))
BEFORE = replace(TICK, price=151.0, at=START - timedelta(seconds=2), sequence=8)
FIRE = Fire(
    alert_id=42,
    generation=3,
    type=AlertType.BUY,
    instrument="NASDAQ:AAPL",
    symbol="AAPL",
    price=Decimal("150.00"),
    tick=TICK,
    before=BEFORE,
    committed_at=START + timedelta(milliseconds=5),
    crossed_during_gap=False,
    note=None,
)
CONTACT = Contact("somebody@example.com", is_verified=True, wants_alerts=True, unsubscribe_token="T" * 43)
SENDER = "Bourse <bourse@example.com>"


def letter(fire: Fire = FIRE, *, freshness: Freshness = Freshness.LIVE) -> Letter:
    mail = MailTry(fire, freshness, "7", attempts=1, shows_note=True)
    return letter_of(mail, CONTACT, public_url="https://api.example.com")


def written(made: Letter) -> tuple[str, str]:
    assert made.html is not None
    return made.text, made.html


def test_it_says_what_fired_at_which_price_and_what_proves_it() -> None:
    made = letter()
    assert made.subject == "AAPL is at or below 150.00: your buy alert fired"
    assert (made.id, made.to, made.dated_at) == ("alert-42-3", "somebody@example.com", FIRE.committed_at)
    for text in written(made):
        for expected in (
            "buy AAPL (NASDAQ:AAPL) at or below 150.00",
            "149.5 from zerodha",
            "151.0 from zerodha",
            "2026-01-05 09:15:00.123 UTC",
            "2026-01-05 09:14:58.123 UTC",
            "feed-1, epoch 7, shard 3, batch 9",
            "feed-1, epoch 7, shard 3, batch 8",
            "live",
            NOTICE,
        ):
            assert expected in text
        assert "IST" not in text
        assert SIMULATED not in text
        assert LATE not in text


def test_a_sell_waits_for_a_price_above() -> None:
    made = letter(replace(FIRE, type=AlertType.SELL, before=None, crossed_during_gap=True))
    assert made.subject == "AAPL is at or above 150.00: your sell alert fired"
    for text in written(made):
        assert "at or above 150.00" in text
        assert "none since the alert was set, or not known" in text
        assert LATE in text


@pytest.mark.parametrize("exchange", ["NSE", "BSE"])
def test_indian_instruments_have_indian_times_too(exchange: str) -> None:
    for text in written(letter(replace(FIRE, instrument=f"{exchange}:TCS"))):
        assert "2026-01-05 09:15:00.123 UTC (2026-01-05 14:45:00 IST)" in text


def test_a_simulated_price_is_said_loudly() -> None:
    made = letter(freshness=Freshness.SIMULATED)
    assert made.subject.startswith("[simulated] ")
    for text in written(made):
        assert SIMULATED in text


@pytest.mark.parametrize("freshness", list(Freshness))
def test_every_freshness_is_said(freshness: Freshness) -> None:
    for text in written(letter(freshness=freshness)):
        assert freshness.value.lower() in text.lower()


def test_each_of_the_two_ticks_is_told_with_its_own_freshness() -> None:
    before = replace(BEFORE, source="sample", freshness=Freshness.SIMULATED)
    for text in written(letter(replace(FIRE, tick=replace(TICK, freshness=Freshness.LIVE), before=before))):
        assert "149.5 from zerodha, live\n" in text
        assert "151.0 from sample, simulated\n" in text
        assert SIMULATED not in text


def test_prices_are_written_without_an_exponent() -> None:
    tiny = replace(FIRE, tick=replace(TICK, price=1e-7), price=Decimal("1E-7"))
    for text in written(letter(tiny)):
        assert "0.0000001 from zerodha" in text


def test_what_its_owner_noted_is_text_and_no_markup() -> None:
    text, html = written(letter(replace(FIRE, note="<b>half</b>\n& more")))
    assert "<b>half</b>\n" in text
    assert "<b>" not in html
    assert "&lt;b&gt;half&lt;/b&gt;\n&amp; more" in html


def test_an_address_that_is_not_verified_sees_no_note() -> None:
    noted = MailTry(replace(FIRE, note="call me on 555"), Freshness.LIVE, "7", attempts=1)
    made = letter_of(noted, CONTACT, public_url="https://api.example.com")
    for text in written(made):
        assert UNVERIFIED in text
        assert b"555" not in compose(made, SENDER).as_bytes()
    without = letter_of(replace(noted, fire=FIRE), CONTACT, public_url="https://api.example.com")
    for text in written(without):
        assert UNVERIFIED not in text


def test_it_can_be_ended_by_a_click_and_by_the_mail_program() -> None:
    made = letter()
    token = "T" * 43
    page = f"https://api.example.com/account#unsubscribe={token}&list=alerts"
    text, html = written(made)
    assert page in text
    assert f'href="{page.replace("&", "&amp;")}"' in html
    assert made.headers == {
        "List-Unsubscribe": f"<https://api.example.com/api/email/unsubscribe?token={token}&list=alerts>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_the_same_fire_is_the_same_bytes() -> None:
    first, second = (compose(letter(), SENDER).as_bytes() for _ in range(2))
    assert first == second
    assert b"Message-ID: <alert-42-3@example.com>\r\n" in first
    assert b"Date: Mon, 05 Jan 2026 09:15:00 +0000\r\n" in first
    assert f"<{letter().headers['List-Unsubscribe'][1:-1]}>".encode() in first
