import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import pytest

from chassis.clock import ManualClock
from market.domain.constituents import INDICES, Constituent, ConstituentList, IndexUnknown
from market.domain.freshness import SimulatedFreshness
from market.domain.index_desk import CHUNK, IndexDesk
from market.domain.instruments import Exchange, Instrument, InstrumentDirectory, InstrumentKind
from market.domain.last_prices import LastPrices
from market.domain.quote_sources import QuoteSources, SourcesUnavailable
from market.domain.quotes import Freshness, Provenance, Quote
from market.domain.ticks import Tick, microseconds_of
from market.providers.reference.listing import read_listing
from market.providers.reference.tables import read_constituents, read_identifiers

NOON = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
LIST = ConstituentList(read_constituents(read_identifiers()))
MASTER = InstrumentDirectory(each.instrument for each in read_listing())


def member(number: int) -> Constituent:
    return Constituent("SP500", f"NYSE:S{number:04d}", f"Company {number}", "somewhere", date(2026, 1, 1))


def share(constituent: Constituent) -> Instrument:
    return Instrument(
        constituent.instrument, Exchange.NYSE, constituent.symbol, constituent.name, InstrumentKind.EQUITY, "USD"
    )


MEMBERS = [member(number) for number in range(2 * CHUNK + 3)]
SHARES = [share(each) for each in MEMBERS]


class FakeSource:
    """Quotes everything at 100, but for what it is told to fail at or to lack."""

    name = "sample"
    is_simulated = True
    answers_in_bulk = True

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.at_once = self.most_at_once = 0
        self.fails_with: set[str] = set()
        self.lacks: set[str] = set()

    def instruments(self) -> Sequence[Instrument]:
        return SHARES

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        self.asked.append(len(instruments))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.fails_with & {each.id for each in instruments}:
            raise ConnectionError
        provenance = Provenance(self.name, NOON, Freshness.SIMULATED)
        return {each.id: Quote(each, 100.0, provenance, 80.0) for each in instruments if each.id not in self.lacks}


class Parts:
    def __init__(self) -> None:
        self.source = FakeSource()
        self.last_prices = LastPrices(SimulatedFreshness())
        self.desk = IndexDesk(
            ConstituentList(MEMBERS),
            InstrumentDirectory(SHARES[1:]),
            sources=QuoteSources([self.source], ManualClock(NOON)),
            last_prices=self.last_prices,
        )


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        *(("sp500", "SP500"), ("S&P 500", "SP500"), ("^GSPC", "SP500"), ("nasdaq-100", "NASDAQ"), ("Nasdaq", "NASDAQ")),
        *(("dow jones", "DJI"), ("^DJI", "DJI"), ("nifty", "NIFTY50"), ("NIFTY 50", "NIFTY50")),
        *(("Bank Nifty", "BANKNIFTY"), ("nifty bank", "BANKNIFTY"), ("bse sensex", "SENSEX")),
    ],
)
def test_an_index_is_found_by_its_usual_names_in_any_case(written: str, symbol: str) -> None:
    assert LIST.find(written).symbol == symbol


@pytest.mark.parametrize("written", ["", "FTSE", "500", "\u017fp500", "SP500\nX"])
def test_an_index_there_is_not_is_said_with_those_there_are(written: str) -> None:
    with pytest.raises(IndexUnknown, match="SP500, NASDAQ, DJI, NIFTY50, BANKNIFTY, SENSEX") as raised:
        LIST.find(written)
    assert raised.value.message.isprintable()


def test_no_name_stands_for_two_indices() -> None:
    names = [name for index in INDICES for name in (index.symbol, *index.other_names)]
    assert len(names) == len(set(names))
    assert all(MASTER.get(index.instrument) is not None for index in INDICES)


@pytest.mark.parametrize(
    ("index", "least", "most"),
    [
        *(("SP500", 503, 503), ("NASDAQ", 100, 104), ("DJI", 30, 30)),
        *(("NIFTY50", 50, 50), ("BANKNIFTY", 12, 14), ("SENSEX", 30, 30)),
    ],
)
def test_every_constituent_is_an_instrument_of_the_master(index: str, least: int, most: int) -> None:
    constituents = LIST.of(LIST.find(index))
    assert least <= len(constituents) <= most
    assert [each.symbol for each in constituents] == sorted(each.symbol for each in constituents)
    for each in constituents:
        instrument = MASTER.get(each.instrument)
        assert instrument is not None
        assert instrument.currency == ("USD" if index in ("SP500", "NASDAQ", "DJI") else "INR")
        assert each.source
        assert date(2025, 1, 1) < each.as_of < date(2027, 1, 1)


def test_a_row_says_what_its_sources_say() -> None:
    apple = next(each for each in LIST.of(LIST.find("SP500")) if each.symbol == "AAPL")
    assert (apple.sector, apple.sub_sector) == (
        "Information Technology",
        "Technology Hardware, Storage & Peripherals",
    )
    assert (apple.head_quarter, apple.date_first_added) == ("Cupertino, California", date(1982, 11, 30))
    assert (apple.cik, apple.founded, apple.isin) == ("0000320193", "1976", "US0378331005")


def test_an_index_without_rows_has_no_constituents() -> None:
    constituents = ConstituentList([])
    assert constituents.of(constituents.find("DJI")) == ()


async def test_all_constituents_are_priced_in_few_calls(parts: Parts) -> None:
    index, priced = await parts.desk.prices("sp500")
    assert index.symbol == "SP500"
    assert [each.constituent for each in priced] == MEMBERS
    assert parts.source.asked == [CHUNK, CHUNK, 2]
    assert parts.source.most_at_once == 2
    quotes = [each.quote for each in priced]
    assert quotes[0] is None  # the directory does not have it
    assert all(quote is not None and quote.change_percent == 25.0 for quote in quotes[1:])


async def test_what_has_no_price_is_absent_and_ticks_refresh_the_others(parts: Parts) -> None:
    parts.source.lacks = {SHARES[5].id}
    parts.last_prices.record("sample", [Tick(SHARES[6].id, 120.0, microseconds_of(NOON) + 1, 80.0, None)])
    _, priced = await parts.desk.prices("SP500")
    assert priced[5].quote is None
    quote = priced[6].quote
    assert quote is not None
    assert (quote.last_price, quote.change_percent) == (120.0, 50.0)


async def test_a_failing_call_costs_its_own_constituents_alone(parts: Parts) -> None:
    parts.source.fails_with = {SHARES[1].id}
    _, priced = await parts.desk.prices("SP500")
    assert [each.quote is None for each in priced[: CHUNK + 2]] == [True] * (CHUNK + 1) + [False]


async def test_when_nothing_answers_it_is_said(parts: Parts) -> None:
    parts.source.fails_with = {each.id for each in SHARES}
    with pytest.raises(SourcesUnavailable):
        await parts.desk.prices("SP500")


async def test_prices_of_an_index_there_is_not_are_refused(parts: Parts) -> None:
    with pytest.raises(IndexUnknown):
        await parts.desk.prices("FTSE")
