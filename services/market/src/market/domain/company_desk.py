"""Answers what is known of a company: profile, statements, dividends, ratings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from chassis.errors import Code, ServiceError
from market.domain.answer_desk import AnswerDesk
from market.domain.answers import Answer
from market.domain.capabilities import Capability
from market.domain.companies import MAX_PRICE_TARGETS, Dividend, Period, Profile, Ratings, Statement, StatementKind
from market.domain.instruments import Instrument, InstrumentDirectory, Listing, shown
from market.domain.limits import read_limit
from market.domain.quote_board import QuoteBoard
from market.domain.quotes import Quote
from market.domain.source_failures import SourcesUnavailable

DEFAULT_STATEMENTS = 5
QUARTERS = 4
# Sources are asked for one of these many, so that questions for different numbers share an answer.
SIZES = (5, 20, 50, 200)

Value = TypeVar("Value")


class PeriodInvalid(ServiceError):
    """What was asked for is no part of a fiscal year."""

    code = Code.INVALID_ARGUMENT
    reason = "PERIOD_INVALID"

    def __init__(self, period: str) -> None:
        super().__init__(f"{shown(period)} is no period; it should be one of {', '.join(Period)}")


@dataclass(frozen=True, slots=True)
class About(Generic[Value]):
    """What is known of one instrument."""

    instrument: Instrument
    answer: Answer[Value]


@dataclass(frozen=True, slots=True)
class PricedProfile:
    """A company's profile and the price of its share; None while nobody has one."""

    about: About[Profile]
    quote: Quote | None


class CompanyDesk:
    """Resolves a symbol and asks the sources about it.

    Every method raises SymbolInvalid, SymbolUnknown and SymbolAmbiguous for the symbol, and for the question
    CapabilityMissing when no source answers such ones, NoAnswer when none knows anything of it, and SourcesUnavailable.

    Args:
        directory: what symbols mean.
        desk: all sources.
        board: quotes, for what a profile says of the price.
    """

    def __init__(self, directory: InstrumentDirectory, desk: AnswerDesk, board: QuoteBoard) -> None:
        self._directory = directory
        self._board = board
        self._profiles = desk.answers(Capability.PROFILES, Profile)
        self._statements = desk.answers(Capability.STATEMENTS, tuple[Statement, ...])
        self._dividends = desk.answers(Capability.DIVIDENDS, tuple[Dividend, ...])
        self._ratings = desk.answers(Capability.RATINGS, Ratings)

    async def profile(self, symbol: str, listing: Listing) -> PricedProfile:
        """Return a company's profile, with the price of now: a profile serves for a day, its price does not."""
        instrument = self._directory.resolve(symbol, listing)

        async def ask(source: Any) -> Profile:
            profile: Profile = await source.profile(instrument)
            return profile

        answer = await self._profiles.one(instrument.id, ask, instrument=instrument)
        quote = await self._quote(instrument)
        return PricedProfile(About(instrument, replace(answer, value=priced(answer.value, quote))), quote)

    async def _quote(self, instrument: Instrument) -> Quote | None:
        try:
            found = (await self._board.quote([instrument.id], Listing.UNSPECIFIED)).quoted
        except SourcesUnavailable:
            return None
        return found[0].value if found else None

    async def statements(
        self, symbol: str, listing: Listing, *, kind: StatementKind, period: str, limit: int
    ) -> About[Sequence[Statement]]:
        """Return a company's newest statements of one kind, newest first.

        Args:
            symbol: which company.
            listing: what a bare symbol means.
            kind: which statement.
            period: `Q1` to `Q4` for that quarter of each year; `FY`, or empty, for whole years.
            limit: how many, 1 to 50; 0 for 5.

        Raises:
            PeriodInvalid, LimitInvalid: one of them is not.
        """
        wanted = _read_period(period)
        count = read_limit(limit, default=DEFAULT_STATEMENTS)
        instrument = self._directory.resolve(symbol, listing)
        is_annual = wanted is Period.FY
        size = next(each for each in SIZES if each >= (count if is_annual else count * QUARTERS))

        async def ask(source: Any) -> tuple[Statement, ...]:
            return tuple(await source.statements(instrument, kind, is_annual=is_annual, limit=size))

        key = f"{instrument.id}:{kind}:{'years' if is_annual else 'quarters'}:{size}"
        answer = await self._statements.one(key, ask, instrument=instrument)
        newest = sorted(answer.value, key=lambda each: each.ends_on, reverse=True)
        chosen = [each for each in newest if each.period is wanted][:count]
        return About(instrument, replace(answer, value=chosen))

    async def dividends(self, symbol: str, listing: Listing) -> About[Sequence[Dividend]]:
        """Return all dividends of a share, newest first; empty for one that never paid any."""
        instrument = self._directory.resolve(symbol, listing)

        async def ask(source: Any) -> tuple[Dividend, ...]:
            return tuple(await source.dividends(instrument))

        answer = await self._dividends.one(instrument.id, ask, instrument=instrument)
        newest = sorted(answer.value, key=lambda each: each.ex_date, reverse=True)
        return About(instrument, replace(answer, value=newest))

    async def ratings(self, symbol: str, listing: Listing) -> About[Ratings]:
        """Return what analysts say of a share: up to 50 targets, newest first."""
        instrument = self._directory.resolve(symbol, listing)

        async def ask(source: Any) -> Ratings:
            ratings: Ratings = await source.ratings(instrument)
            return ratings

        answer = await self._ratings.one(instrument.id, ask, instrument=instrument)
        newest = sorted(answer.value.price_targets, key=lambda each: each.published_at, reverse=True)
        shortened = replace(answer.value, price_targets=tuple(newest[:MAX_PRICE_TARGETS]))
        return About(instrument, replace(answer, value=shortened))


def priced(profile: Profile, quote: Quote | None) -> Profile:
    """Return a profile that says of the price what a quote does, and nothing without one.

    The market capitalisation is that of the source, in proportion to how far the price has come since it said so.
    """
    if quote is None:
        return replace(profile, price=None, market_cap=None, change=None, change_percentage=None, volume=None)
    market_cap = profile.market_cap
    if market_cap is not None and profile.price:
        market_cap = round(market_cap * quote.last_price / profile.price)
    return replace(
        profile,
        price=quote.last_price,
        market_cap=market_cap,
        change=quote.change,
        change_percentage=quote.change_percent,
        volume=quote.volume,
    )


def _read_period(text: str) -> Period:
    if not text:
        return Period.FY
    try:
        return Period(text.upper())
    except ValueError as error:
        raise PeriodInvalid(text) from error
