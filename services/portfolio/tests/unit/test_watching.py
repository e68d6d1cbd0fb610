from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chassis.clock import ManualClock
from portfolio.domain.instruments import RememberedInstruments
from portfolio.domain.names import NameInvalid
from portfolio.domain.quotes import Freshness, Provenance, TickerPrice
from portfolio.domain.symbols import (
    Instrument,
    InstrumentsUnavailable,
    SymbolAmbiguous,
    SymbolInvalid,
    SymbolUnknown,
)
from portfolio.domain.ticker_prices import TickerPrices
from portfolio.domain.users import UserIdInvalid
from portfolio.domain.watching import WatchlistDesk
from portfolio.domain.watchlists import (
    MAX_WATCHLISTS,
    SymbolsUnknown,
    TooManyTickers,
    TooManyWatchlists,
    WatchedTicker,
    Watchlist,
    WatchlistName,
    WatchlistNotFound,
    require_room_for_watchlist,
)
from portfolio.domain.wording import MAX_LISTED_LENGTH

NOW = datetime(2026, 3, 12, 5, 30, tzinfo=UTC)
PRICE = TickerPrice(201.28, 2.15, 1.08, Provenance("yahoo", NOW, Freshness.LIVE))
APPLE = WatchedTicker("AAPL", "NASDAQ:AAPL", "Apple Inc.")
MICROSOFT = WatchedTicker("MSFT", "NASDAQ:MSFT", "Microsoft Corporation")


class Market:
    """Knows two companies and the price of one."""

    def __init__(self) -> None:
        self.is_away = False

    async def resolve(self, symbol: str) -> Instrument:
        if self.is_away:
            raise InstrumentsUnavailable
        if symbol.endswith(":TWO") or symbol == "TWO":
            raise SymbolAmbiguous("TWO could be NASDAQ:TWO or NYSE:TWO; write one of these")
        for each in (APPLE, MICROSOFT):
            if symbol in (each.symbol, each.instrument):
                return Instrument(each.instrument, each.name)
        if symbol == "TCS" or symbol.startswith("INDIAN"):
            raise SymbolUnknown(symbol, advice=f"write NSE:{symbol} or BSE:{symbol} if that is meant")
        raise SymbolUnknown(symbol)

    async def latest(self, instruments: Collection[str]) -> Mapping[str, TickerPrice]:
        return {each: PRICE for each in instruments if each == APPLE.instrument}


class Store:
    """Keeps the watchlists of user 7; ids count from 1."""

    def __init__(self) -> None:
        self.kept: dict[int, Watchlist] = {}
        self.created_at: list[datetime] = []
        self.loses_on_replace = False

    async def names_of(self, user_id: str) -> Sequence[WatchlistName]:
        return [WatchlistName(each.id, each.name) for each in self.kept.values()] if user_id == "7" else []

    async def create(self, user_id: str, name: str, *, at: datetime) -> Watchlist:
        require_room_for_watchlist(len(self.kept))
        self.created_at.append(at)
        self.kept[len(self.kept) + 1] = Watchlist(len(self.kept) + 1, name, ())
        return self.kept[len(self.kept)]

    async def find(self, user_id: str, watchlist_id: int) -> Watchlist | None:
        return self.kept.get(watchlist_id) if user_id == "7" else None

    async def replace_tickers(
        self, user_id: str, watchlist_id: int, tickers: Sequence[WatchedTicker]
    ) -> Watchlist | None:
        if self.loses_on_replace:
            return None
        self.kept[watchlist_id] = replace(self.kept[watchlist_id], tickers=tuple(tickers))
        return self.kept[watchlist_id]

    async def delete(self, user_id: str, watchlist_id: int) -> bool:
        return user_id == "7" and self.kept.pop(watchlist_id, None) is not None


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def desk(market: Market, store: Store) -> WatchlistDesk:
    clock = ManualClock(NOW)
    return WatchlistDesk(store, RememberedInstruments(market, clock), TickerPrices(market), clock=clock)


async def test_a_new_watchlist_is_empty_and_listed(desk: WatchlistDesk, store: Store) -> None:
    assert await desk.create("7", "Tech") == Watchlist(1, "Tech", ())
    await desk.create("7", "Tech")
    assert await desk.names("7") == [WatchlistName(1, "Tech"), WatchlistName(2, "Tech")]
    assert store.created_at == [NOW, NOW]


async def test_a_name_that_is_none_is_refused(desk: WatchlistDesk, store: Store) -> None:
    with pytest.raises(NameInvalid):
        await desk.create("7", " ")
    assert store.kept == {}


async def test_there_are_so_many_watchlists_and_no_more(desk: WatchlistDesk) -> None:
    for _ in range(MAX_WATCHLISTS):
        await desk.create("7", "W")
    with pytest.raises(TooManyWatchlists, match="there are 100 watchlists"):
        await desk.create("7", "W")


async def test_tickers_keep_their_order_and_what_means_the_same_is_folded(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    priced = await desk.replace_tickers("7", 1, ["msft", "Aapl", "nasdaq:msft", "MSFT"])
    assert priced.watchlist.tickers == (MICROSOFT, APPLE)
    assert priced.prices == {"NASDAQ:AAPL": PRICE}
    assert await desk.get("7", 1) == priced


async def test_no_tickers_empty_the_list(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    await desk.replace_tickers("7", 1, ["AAPL"])
    assert (await desk.replace_tickers("7", 1, [])).watchlist.tickers == ()


async def test_unknown_symbols_are_named_together_and_nothing_is_changed(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    await desk.replace_tickers("7", 1, ["AAPL"])
    with pytest.raises(SymbolsUnknown) as raised:
        await desk.replace_tickers("7", 1, ["MSFT", "nope", "two", "nada"])
    assert str(raised.value) == (
        "NOPE, NADA name no known instrument; write the exchange too, such as NSE:TCS; "
        "TWO could be NASDAQ:TWO or NYSE:TWO; write one of these; the watchlist is as it was"
    )
    assert (await desk.get("7", 1)).watchlist.tickers == (APPLE,)


async def test_one_with_its_exchange_needs_no_hint(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    with pytest.raises(SymbolsUnknown, match=r"^NSE:NOPE names no known instrument; the watchlist is as it was$"):
        await desk.replace_tickers("7", 1, ["NSE:NOPE"])


async def test_what_another_market_lists_is_told_with_how_to_write_it(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    with pytest.raises(SymbolsUnknown) as raised:
        await desk.replace_tickers("7", 1, ["tcs", "NSE:NOPE"])
    assert str(raised.value) == (
        "NSE:NOPE names no known instrument; "
        "TCS is not listed in this market; write NSE:TCS or BSE:TCS if that is meant; the watchlist is as it was"
    )


async def test_many_that_another_market_lists_are_all_named(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    pasted = [f"INDIAN{number:03}" for number in range(200)]
    with pytest.raises(SymbolsUnknown) as raised:
        await desk.replace_tickers("7", 1, pasted)
    assert str(raised.value) == (
        f"{', '.join(pasted)} are not listed in this market; write the exchange too, such as NSE:TCS; "
        "the watchlist is as it was"
    )
    with pytest.raises(SymbolsUnknown) as raised:
        await desk.replace_tickers("7", 1, [*pasted[:60], *(f"NSE:NO{number}" for number in range(60)), "A B"])
    told = str(raised.value)
    assert all(f"{symbol}," in told for symbol in [*pasted[:59], *(f"NSE:NO{number}" for number in range(59))])
    assert "'A B' is no symbol" in told
    for count in (29, 30, 31):
        with pytest.raises(SymbolsUnknown, match=r"TWO could be NASDAQ:TWO or NYSE:TWO; write one of these"):
            await desk.replace_tickers("7", 1, [*pasted[:count], "TWO"])


async def test_unknown_symbols_are_named_beside_what_is_no_symbol(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    with pytest.raises(SymbolsUnknown) as raised:
        await desk.replace_tickers("7", 1, ["NSE:NOPE", "A B", "AAPL", "C D", "A B"])
    assert str(raised.value).startswith("NSE:NOPE names no known instrument; 'A B', 'C D' are no symbols: 1 to 32 ")
    assert str(raised.value).endswith("; the watchlist is as it was")


async def test_many_of_both_leave_each_other_room(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    unknown = [f"NSE:{number:024}NONE" for number in range(100)]
    with pytest.raises(SymbolsUnknown) as raised:
        await desk.replace_tickers("7", 1, [*unknown, *(f"% {number:030}" for number in range(100))])
    assert "more name no known instrument; '% 0000" in str(raised.value)
    assert "more are no symbols" in str(raised.value)
    assert len(str(raised.value).replace("%", "%25")) < MAX_LISTED_LENGTH + 100


async def test_what_is_no_symbol_is_told_while_nobody_knows_what_symbols_mean(
    desk: WatchlistDesk, market: Market
) -> None:
    await desk.create("7", "Tech")
    market.is_away = True
    with pytest.raises(SymbolInvalid, match=r"^'A B' is no symbol"):
        await desk.replace_tickers("7", 1, ["AAPL", "A B"])


async def test_what_is_no_symbol_is_named_once(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    with pytest.raises(SymbolInvalid, match=r"^'A B', '' are no symbols"):
        await desk.replace_tickers("7", 1, ["A B", "AAPL", "", "A B"])


async def test_more_tickers_than_there_may_be_are_refused(desk: WatchlistDesk) -> None:
    with pytest.raises(TooManyTickers, match="201 tickers were given; a watchlist has at most 200"):
        await desk.replace_tickers("7", 1, ["AAPL"] * 201)


async def test_while_nobody_knows_what_symbols_mean_nothing_is_changed(
    desk: WatchlistDesk, market: Market, store: Store
) -> None:
    await desk.create("7", "Tech")
    market.is_away = True
    with pytest.raises(InstrumentsUnavailable):
        await desk.replace_tickers("7", 1, ["AAPL"])
    assert store.kept[1].tickers == ()


async def test_another_users_watchlist_is_none_whatever_is_asked(desk: WatchlistDesk, market: Market) -> None:
    await desk.create("7", "Tech")
    market.is_away = True
    for call in (desk.get("8", 1), desk.replace_tickers("8", 1, ["NOPE"]), desk.delete("8", 1)):
        with pytest.raises(WatchlistNotFound, match="there is no watchlist 1"):
            await call


async def test_one_that_is_deleted_meanwhile_is_none(desk: WatchlistDesk, store: Store) -> None:
    await desk.create("7", "Tech")
    store.loses_on_replace = True
    with pytest.raises(WatchlistNotFound):
        await desk.replace_tickers("7", 1, ["AAPL"])


async def test_a_deleted_one_is_gone(desk: WatchlistDesk) -> None:
    await desk.create("7", "Tech")
    await desk.delete("7", 1)
    assert await desk.names("7") == []
    with pytest.raises(WatchlistNotFound):
        await desk.delete("7", 1)


async def test_nobody_with_such_an_id_has_any(desk: WatchlistDesk) -> None:
    calls = (
        desk.names(""),
        desk.create("", "Tech"),
        desk.get("", 1),
        desk.replace_tickers("", 1, []),
        desk.delete("", 1),
    )
    for call in calls:
        with pytest.raises(UserIdInvalid):
            await call
