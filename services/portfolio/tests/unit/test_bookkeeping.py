from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from chassis.clock import ManualClock
from portfolio.domain.bookkeeping import ManualPortfolioDesk
from portfolio.domain.instruments import RememberedInstruments
from portfolio.domain.manual_portfolios import (
    MAX_PORTFOLIOS,
    MAX_STOCKS,
    ManualPortfolio,
    PortfolioNotFound,
    StockNotFound,
    StocksEmpty,
    TooManyPortfolios,
    TooManyStocks,
    require_room_for_portfolio,
    require_stock_count,
)
from portfolio.domain.names import NameInvalid
from portfolio.domain.stock_entries import Stock, StockEntry, StocksInvalid
from portfolio.domain.symbols import (
    Instrument,
    InstrumentsUnavailable,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
)
from portfolio.domain.users import UserIdInvalid

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)


class Market:
    """Lists on NASDAQ what is not called NOPE, TWO or TCS."""

    def __init__(self) -> None:
        self.is_away = False

    async def resolve(self, symbol: str) -> Instrument:
        if self.is_away:
            raise InstrumentsUnavailable
        if symbol == "TWO":
            raise SymbolAmbiguous("TWO could be NASDAQ:TWO or NYSE:TWO; write one of these")
        if symbol == "TCS":
            raise SymbolUnknown(symbol, advice="write NSE:TCS or BSE:TCS if that is meant")
        if symbol == "NOPE":
            raise SymbolUnknown(symbol)
        return Instrument(symbol if ":" in symbol else f"NASDAQ:{symbol}", symbol)


class Store:
    """Keeps the portfolios of user 7; ids count from 1."""

    def __init__(self) -> None:
        self.kept: dict[int, ManualPortfolio] = {}
        self.is_late = False

    async def portfolios_of(self, user_id: str) -> Sequence[ManualPortfolio]:
        return list(self.kept.values()) if user_id == "7" else []

    async def create(self, user_id: str, name: str, *, at: datetime) -> ManualPortfolio:
        assert at == NOW
        require_room_for_portfolio(len(self.kept))
        self.kept[len(self.kept) + 1] = ManualPortfolio(len(self.kept) + 1, name, ())
        return self.kept[len(self.kept)]

    async def find(self, user_id: str, portfolio_id: int) -> ManualPortfolio | None:
        return self.kept.get(portfolio_id) if user_id == "7" else None

    async def rename(self, user_id: str, portfolio_id: int, name: str) -> ManualPortfolio | None:
        if user_id != "7" or portfolio_id not in self.kept:
            return None
        self.kept[portfolio_id] = replace(self.kept[portfolio_id], name=name)
        return self.kept[portfolio_id]

    async def put(self, user_id: str, portfolio_id: int, stocks: Sequence[Stock]) -> ManualPortfolio | None:
        if self.is_late:
            return None
        portfolio = self.kept[portfolio_id]
        merged = {each.instrument: each for each in (*portfolio.stocks, *stocks)}
        require_stock_count(len(merged))
        self.kept[portfolio_id] = replace(portfolio, stocks=tuple(merged.values()))
        return self.kept[portfolio_id]

    async def remove_stock(self, user_id: str, portfolio_id: int, instrument: str) -> bool:
        if self.is_late:
            return False
        portfolio = self.kept[portfolio_id]
        kept = tuple(each for each in portfolio.stocks if each.instrument != instrument)
        self.kept[portfolio_id] = replace(portfolio, stocks=kept)
        return kept != portfolio.stocks

    async def delete(self, user_id: str, portfolio_id: int) -> bool:
        return user_id == "7" and self.kept.pop(portfolio_id, None) is not None


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def desk(market: Market, store: Store) -> ManualPortfolioDesk:
    clock = ManualClock(NOW)
    desk = ManualPortfolioDesk(store, RememberedInstruments(market, clock), clock=clock)
    await desk.create("7", "Growth")
    return desk


def entry(symbol: str = "AAPL", quantity: str = "10", total_cost: str = "1500.00") -> StockEntry:
    return StockEntry(symbol, quantity, total_cost)


def stock(symbol: str, quantity: str, total_cost: str, instrument: str = "") -> Stock:
    return Stock(symbol, instrument or f"NASDAQ:{symbol}", Decimal(quantity), Decimal(total_cost))


async def faults_of(desk: ManualPortfolioDesk, *entries: StockEntry) -> str:
    before = await desk.list("7")
    with pytest.raises(StocksInvalid) as raised:
        await desk.put_stocks("7", 1, entries)
    assert await desk.list("7") == before
    assert str(raised.value).startswith("nothing was changed: ")
    return str(raised.value).removeprefix("nothing was changed: ")


async def test_a_portfolio_is_made_renamed_listed_and_deleted(desk: ManualPortfolioDesk) -> None:
    assert await desk.create("7", "Tech") == ManualPortfolio(2, "Tech", ())
    assert await desk.rename("7", 1, "Value") == ManualPortfolio(1, "Value", ())
    assert [each.name for each in await desk.list("7")] == ["Value", "Tech"]
    await desk.delete("7", 1)
    with pytest.raises(PortfolioNotFound, match="there is no portfolio 1"):
        await desk.delete("7", 1)


async def test_a_name_that_is_none_is_refused(desk: ManualPortfolioDesk) -> None:
    for call in (desk.create("7", ""), desk.rename("7", 1, "")):
        with pytest.raises(NameInvalid):
            await call


async def test_there_are_so_many_portfolios_and_no_more(desk: ManualPortfolioDesk) -> None:
    for _ in range(MAX_PORTFOLIOS - 1):
        await desk.create("7", "P")
    with pytest.raises(TooManyPortfolios, match="there are 50 portfolios"):
        await desk.create("7", "P")


async def test_stocks_are_added_in_their_order_and_replaced_in_their_place(desk: ManualPortfolioDesk) -> None:
    put = await desk.put_stocks("7", 1, [entry("aapl"), entry("nse:tcs", "0.5", "0")])
    assert put.processed == 2
    assert put.portfolio.stocks == (stock("AAPL", "10", "1500"), stock("NSE:TCS", "0.5", "0", "NSE:TCS"))
    put = await desk.put_stocks("7", 1, [entry("nasdaq:aapl", "1e1", "7.5"), entry("MSFT", "3", "4")])
    assert put.processed == 2
    assert [(each.symbol, str(each.quantity)) for each in put.portfolio.stocks] == [
        ("NASDAQ:AAPL", "10"),
        ("NSE:TCS", "0.5"),
        ("MSFT", "3"),
    ]


@pytest.mark.parametrize("quantity", ["999999999999.99999999", "0.00000001", "007", "1.000000000", "1E+11"])
async def test_so_many_digits_are_a_quantity(desk: ManualPortfolioDesk, quantity: str) -> None:
    put = await desk.put_stocks("7", 1, [entry(quantity=quantity)])
    assert put.portfolio.stocks[0].quantity == Decimal(quantity)


@pytest.mark.parametrize("quantity", ["", "ten", "NaN", "Infinity", "1e12", "0.000000001", "1_0", "1" * 65, "1,5"])
async def test_anything_else_is_none(desk: ManualPortfolioDesk, quantity: str) -> None:
    faults = await faults_of(desk, entry(quantity=quantity))
    assert faults.startswith("row 1 (AAPL): quantity '")
    assert "cannot be: a number with at most 12 digits before and 8 after the point is needed" in faults


async def test_every_fault_of_every_row_is_told(desk: ManualPortfolioDesk) -> None:
    faults = await faults_of(
        desk,
        entry("A B", "0", "-0.01"),
        entry("MSFT"),
        entry("nope", "-1"),
        entry("TWO", total_cost="much"),
        entry("nasdaq:msft"),
    )
    assert faults.split("; row ") == [
        "row 1 ('A B'): it is no symbol, quantity '0' is not above 0, total_cost '-0.01' is below 0",
        "3 (NOPE): quantity '-1' is not above 0, it names no known instrument",
        (
            "4 (TWO): total_cost 'much' cannot be: a number with at most 12 digits before and 8 after the point is "
            "needed, TWO could be NASDAQ:TWO or NYSE:TWO; write one of these"
        ),
        "5 (NASDAQ:MSFT): it is the same stock as row 2 (MSFT)",
    ]


async def test_what_another_market_lists_is_told_with_how_to_write_it(desk: ManualPortfolioDesk) -> None:
    assert (await faults_of(desk, entry("AAPL"), entry("tcs"))).endswith(
        "row 2 (TCS): it is not listed in this market; write NSE:TCS or BSE:TCS if that is meant"
    )


async def test_the_same_unknown_symbol_twice_is_told_too(desk: ManualPortfolioDesk) -> None:
    assert (await faults_of(desk, entry("nope"), entry("NOPE"))).endswith(
        "row 2 (NOPE): it names no known instrument, it is the same stock as row 1 (NOPE)"
    )


async def test_faults_are_told_while_nobody_knows_what_symbols_mean(desk: ManualPortfolioDesk, market: Market) -> None:
    market.is_away = True
    assert await faults_of(desk, entry("AAPL"), entry("MSFT", "0")) == "row 2 (MSFT): quantity '0' is not above 0"
    with pytest.raises(InstrumentsUnavailable):
        await desk.put_stocks("7", 1, [entry("AAPL")])


async def test_no_stocks_and_too_many_are_refused(desk: ManualPortfolioDesk) -> None:
    with pytest.raises(StocksEmpty):
        await desk.put_stocks("7", 1, [])
    with pytest.raises(TooManyStocks, match="that makes 501 stocks; a portfolio has at most 500"):
        await desk.put_stocks("7", 1, [entry()] * (MAX_STOCKS + 1))
    await desk.put_stocks("7", 1, [entry(f"S{number}") for number in range(MAX_STOCKS)])
    with pytest.raises(TooManyStocks):
        await desk.put_stocks("7", 1, [entry("ONE")])


async def test_a_stock_is_removed_by_any_name_of_its_instrument(desk: ManualPortfolioDesk, market: Market) -> None:
    for kept, named in [("AAPL", "aapl"), ("AAPL", "nasdaq:aapl"), ("NASDAQ:AAPL", "AAPL")]:
        await desk.put_stocks("7", 1, [entry("MSFT"), entry(kept)])
        assert await desk.remove_stock("7", 1, named) == kept
        assert [each.symbol for each in (await desk.list("7"))[0].stocks] == ["MSFT"]


async def test_a_stock_named_as_it_is_kept_is_removed_while_nobody_knows_what_symbols_mean(
    desk: ManualPortfolioDesk, market: Market
) -> None:
    await desk.put_stocks("7", 1, [entry("AAPL"), entry("MSFT")])
    market.is_away = True
    assert await desk.remove_stock("7", 1, "AAPL") == "AAPL"
    with pytest.raises(InstrumentsUnavailable):
        await desk.remove_stock("7", 1, "OTHER")


@pytest.mark.parametrize("symbol", ["MSFT", "NOPE", "TWO"])
async def test_a_stock_that_is_not_there_cannot_be_removed(desk: ManualPortfolioDesk, symbol: str) -> None:
    with pytest.raises(StockNotFound, match=f"there is no {symbol} in portfolio 1"):
        await desk.remove_stock("7", 1, symbol)
    await desk.put_stocks("7", 1, [entry("AAPL")])
    with pytest.raises(StockNotFound):
        await desk.remove_stock("7", 1, symbol)


async def test_what_is_gone_meanwhile_is_not_found(desk: ManualPortfolioDesk, store: Store) -> None:
    await desk.put_stocks("7", 1, [entry("AAPL")])
    store.is_late = True
    with pytest.raises(StockNotFound):
        await desk.remove_stock("7", 1, "AAPL")
    with pytest.raises(PortfolioNotFound):
        await desk.put_stocks("7", 1, [entry("AAPL")])


async def test_what_is_no_symbol_is_refused(desk: ManualPortfolioDesk) -> None:
    with pytest.raises(SymbolInvalid):
        await desk.remove_stock("7", 1, "A B")


async def test_another_users_portfolio_is_none_whatever_is_asked(desk: ManualPortfolioDesk, market: Market) -> None:
    market.is_away = True
    calls = (
        desk.rename("8", 1, "Mine"),
        desk.delete("8", 1),
        desk.put_stocks("8", 1, [entry(quantity="0")]),
        desk.remove_stock("8", 1, "AAPL"),
    )
    for call in calls:
        with pytest.raises(PortfolioNotFound):
            await call
    assert await desk.list("8") == []


async def test_nobody_with_such_an_id_has_any(desk: ManualPortfolioDesk) -> None:
    calls = (
        desk.list(""),
        desk.create("", "Tech"),
        desk.rename("", 1, "Tech"),
        desk.delete("", 1),
        desk.put_stocks("", 1, [entry()]),
        desk.remove_stock("", 1, "AAPL"),
    )
    for call in calls:
        with pytest.raises(UserIdInvalid):
            await call
