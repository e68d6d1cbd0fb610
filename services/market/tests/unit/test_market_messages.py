from datetime import UTC, date, datetime, timedelta

from google.protobuf.message import Message

from bourse.market.v1 import instruments_pb2, quotes_pb2, snapshot_pb2
from market.domain.instruments import Exchange, Instrument, InstrumentKind, Listing
from market.domain.pattern_statistics import TrackRecord
from market.domain.patterns import Direction
from market.domain.quote_board import QuoteAnswer
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.sessions import Session
from market.domain.signals import Signal
from market.domain.snapshot import IndexLevel, MarketState, SectorChange, Snapshot
from market.domain.splits import Split
from market.domain.symbol_batches import Found, Missing, MissingSymbol
from market.domain.trading_days import TradingDays
from market.messages.calendars import trading_days_message
from market.messages.corporate_actions import splits_message
from market.messages.instruments import instrument_message, listing_of
from market.messages.quotes import quotes_message
from market.messages.snapshot import snapshot_message

NOON = datetime(2026, 1, 5, 12, 0, 0, 500_000, tzinfo=UTC)
TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS Ltd.", InstrumentKind.EQUITY, "INR", "Information Technology")
EURUSD = Instrument("FX:EURUSD", Exchange.FX, "EURUSD", "Euro / US Dollar", InstrumentKind.CURRENCY_PAIR, "USD")
SAMPLE = Provenance("sample", NOON, Freshness.SIMULATED)


def present(message: Message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def test_every_listing_freshness_and_kind_of_the_contract_has_its_value() -> None:
    assert {listing_of(value) for value in quotes_pb2.Listing.values()} == set(Listing)
    names = {name.removeprefix("FRESHNESS_") for name in quotes_pb2.Freshness.keys()}  # noqa: SIM118  # no mapping
    assert names - {"UNSPECIFIED"} == {each.value for each in Freshness}
    kinds = {name.removeprefix("INSTRUMENT_KIND_") for name in instruments_pb2.InstrumentKind.keys()}  # noqa: SIM118
    assert kinds - {"UNSPECIFIED"} == {each.value for each in InstrumentKind}


def test_an_instrument_without_a_sector_says_so_by_absence() -> None:
    assert instrument_message(TCS).sector == "Information Technology"
    message = instrument_message(EURUSD)
    assert not message.HasField("sector")
    assert message.kind == instruments_pb2.INSTRUMENT_KIND_CURRENCY_PAIR


def test_what_a_quote_lacks_is_absent_and_never_zero() -> None:
    full = Quote(TCS, 100.5, SAMPLE, previous_close=100.0, open=99.0, high=101.0, low=98.0, volume=0)
    bare = Quote(EURUSD, 1.1, SAMPLE)
    answer = quotes_message(
        QuoteAnswer(
            quoted=[Found("tcs", full), Found("FX:EURUSD", bare)],
            missing=[MissingSymbol("NSE:X", Missing.SYMBOL_UNKNOWN)],
        )
    )
    optional = {"previous_close", "change", "change_percent", "open", "high", "low", "volume"}
    assert optional <= present(answer.quotes[0])
    assert optional.isdisjoint(present(answer.quotes[1]))
    assert (answer.quotes[0].symbol, answer.quotes[0].instrument) == ("tcs", "NSE:TCS")
    assert (answer.quotes[0].change, answer.quotes[0].change_percent) == (0.5, 0.5)
    assert answer.quotes[0].provenance.freshness == quotes_pb2.FRESHNESS_SIMULATED
    assert answer.quotes[0].provenance.as_of.ToDatetime(tzinfo=UTC) == NOON
    assert [(each.symbol, each.code) for each in answer.missing] == [("NSE:X", "SYMBOL_UNKNOWN")]


def test_a_snapshot_without_prices_has_no_levels() -> None:
    state = MarketState(is_open=False, as_of=NOON, next_open=None, next_close=None)
    message = snapshot_message(Snapshot(None, None, None, (), (), state, None))
    assert present(message) == {"market"}
    assert present(message.market) == {"as_of"}
    assert message.market.as_of.ToDatetime(tzinfo=UTC) == NOON


def test_a_snapshot_is_carried_whole() -> None:
    state = MarketState(is_open=True, as_of=NOON, next_open=None, next_close=NOON)
    measured = Signal("NSE:TCS", "engulfing", Direction.BULLISH, date(2026, 1, 2), TrackRecord(100, 60, 1000, 500))
    rare = Signal("NSE:INFY", "doji", Direction.BEARISH, date(2026, 1, 2), TrackRecord(3, 1, 0, 0))
    level = IndexLevel("INDEX:NIFTY50", 24_000.0, None, SAMPLE)
    message = snapshot_message(
        Snapshot(level, None, level, (measured, rare), (SectorChange("Power", -1.5, 3),), state, SAMPLE)
    )
    assert message.nifty.price == 24_000.0
    assert not message.nifty.HasField("change_percent")
    assert message.market.next_close.ToDatetime(tzinfo=UTC) == NOON
    assert message.provenance.source == "sample"
    assert (message.sectors[0].sector, message.sectors[0].change_percent, message.sectors[0].instruments) == (
        "Power",
        -1.5,
        3,
    )
    first, second = message.signals
    assert (first.confidence, first.cases, first.base_rate, first.session) == (0.6, 100, 0.5, "2026-01-02")
    assert first.confidence_low < 0.6 < first.confidence_high
    assert first.direction == snapshot_pb2.SIGNAL_DIRECTION_BULLISH
    assert second.direction == snapshot_pb2.SIGNAL_DIRECTION_BEARISH
    assert {"confidence", "confidence_low", "confidence_high", "base_rate"}.isdisjoint(present(second))


def test_days_are_dates_as_the_exchange_counts_them_with_moments_beside() -> None:
    session = Session(date(2026, 1, 5), NOON, NOON + timedelta(hours=1))
    message = trading_days_message(TradingDays([session], date(2020, 1, 1), date(2026, 12, 31)))
    assert (message.known_from, message.known_through) == ("2020-01-01", "2026-12-31")
    assert message.sessions[0].date == "2026-01-05"
    assert message.sessions[0].opens_at.ToDatetime(tzinfo=UTC) == NOON
    assert message.sessions[0].closes_at.ToDatetime(tzinfo=UTC) == NOON + timedelta(hours=1)


def test_a_split_keeps_which_units_are_new() -> None:
    split = splits_message([Split("NSE:TCS", date(2018, 5, 31), 2, 1, "file")]).splits[0]
    assert (split.instrument, split.ex_date, split.source) == ("NSE:TCS", "2018-05-31", "file")
    assert (split.new_units, split.old_units) == (2, 1)
