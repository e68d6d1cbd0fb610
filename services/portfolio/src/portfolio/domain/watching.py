"""Makes, fills, shows and deletes watchlists."""

from collections.abc import Iterable, Sequence

from chassis.clock import Clock
from portfolio.domain.instruments import RememberedInstruments
from portfolio.domain.names import require_name
from portfolio.domain.ports import WatchlistStore
from portfolio.domain.symbols import Instrument, InstrumentsUnavailable, SymbolInvalid, symbol_of
from portfolio.domain.ticker_prices import TickerPrices
from portfolio.domain.users import require_user_id
from portfolio.domain.watchlists import (
    MAX_TICKERS,
    PricedWatchlist,
    SymbolsUnknown,
    TooManyTickers,
    WatchedTicker,
    Watchlist,
    WatchlistName,
    WatchlistNotFound,
)


class WatchlistDesk:
    """Keeps users' watchlists.

    Args:
        store: keeps them.
        instruments: says what symbols mean.
        prices: says what instruments cost.
        clock: says when a watchlist was made.
    """

    def __init__(
        self, store: WatchlistStore, instruments: RememberedInstruments, prices: TickerPrices, *, clock: Clock
    ) -> None:
        self._store = store
        self._instruments = instruments
        self._prices = prices
        self._clock = clock

    async def names(self, user_id: str) -> Sequence[WatchlistName]:
        """Return a user's watchlists, oldest first.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        return await self._store.names_of(user_id)

    async def create(self, user_id: str, name: str) -> Watchlist:
        """Make an empty watchlist.

        Raises:
            UserIdInvalid: no user has such an id.
            NameInvalid: it cannot be called so.
            TooManyWatchlists: the user has a hundred.
            AccountDeleted: the account is gone.
        """
        require_user_id(user_id)
        require_name(name)
        return await self._store.create(user_id, name, at=self._clock.now())

    async def get(self, user_id: str, watchlist_id: int) -> PricedWatchlist:
        """Return a watchlist at the prices of now.

        Raises:
            UserIdInvalid: no user has such an id.
            WatchlistNotFound: the user has no such watchlist.
        """
        require_user_id(user_id)
        return await self._priced(await self._found(user_id, watchlist_id))

    async def replace_tickers(self, user_id: str, watchlist_id: int, symbols: Sequence[str]) -> PricedWatchlist:
        """Put tickers in the place of those of a watchlist; order is kept, of two of one instrument the first stays.

        Raises:
            UserIdInvalid: no user has such an id.
            TooManyTickers: there are more than 200.
            WatchlistNotFound: the user has no such watchlist.
            SymbolInvalid: some cannot be symbols; it names them.
            SymbolsUnknown: some name no instrument, or several; it names them and those that cannot be symbols.
            InstrumentsUnavailable: nobody can say now what one means.
        """
        require_user_id(user_id)
        if len(symbols) > MAX_TICKERS:
            raise TooManyTickers(len(symbols))
        await self._found(user_id, watchlist_id)
        tickers = _tickers_of(await self._meanings_of(symbols))
        replaced = await self._store.replace_tickers(user_id, watchlist_id, tickers)
        if replaced is None:
            raise WatchlistNotFound(watchlist_id)
        return await self._priced(replaced)

    async def delete(self, user_id: str, watchlist_id: int) -> None:
        """Delete a watchlist.

        Raises:
            UserIdInvalid: no user has such an id.
            WatchlistNotFound: the user has no such watchlist.
        """
        require_user_id(user_id)
        if not await self._store.delete(user_id, watchlist_id):
            raise WatchlistNotFound(watchlist_id)

    async def _found(self, user_id: str, watchlist_id: int) -> Watchlist:
        watchlist = await self._store.find(user_id, watchlist_id)
        if watchlist is None:
            raise WatchlistNotFound(watchlist_id)
        return watchlist

    async def _meanings_of(self, texts: Sequence[str]) -> Iterable[tuple[str, Instrument]]:
        """Return what each symbol means, all or none: every one that means nothing is told."""
        symbols = {text: symbol_of(text) for text in texts}
        malformed = [text for text, symbol in symbols.items() if symbol is None]
        try:
            resolution = await self._instruments.resolve_all([each for each in symbols.values() if each is not None])
        except InstrumentsUnavailable:
            if malformed:
                raise SymbolInvalid(*malformed) from None
            raise
        if resolution.refused:
            raise SymbolsUnknown(resolution.refused, malformed)
        if malformed:
            raise SymbolInvalid(*malformed)
        return resolution.found.items()

    async def _priced(self, watchlist: Watchlist) -> PricedWatchlist:
        prices = await self._prices.latest([ticker.instrument for ticker in watchlist.tickers])
        return PricedWatchlist(watchlist, prices)


def _tickers_of(meanings: Iterable[tuple[str, Instrument]]) -> Sequence[WatchedTicker]:
    tickers: dict[str, WatchedTicker] = {}
    for symbol, instrument in meanings:
        tickers.setdefault(instrument.id, WatchedTicker(symbol, instrument.id, instrument.name))
    return tuple(tickers.values())
