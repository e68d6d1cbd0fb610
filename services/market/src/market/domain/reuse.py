"""When an answer of a source that may not be asked often is given again without asking."""

from collections.abc import Mapping
from datetime import timedelta

from chassis.clock import Clock
from market.domain.freshness import LATE_AT_MOST
from market.domain.last_prices import LastPrices
from market.domain.lives import PRICES_IN_HOURS, PRICES_OUTSIDE
from market.domain.ports import Calendar, FreshnessRule
from market.domain.quotes import Freshness, Quote
from market.domain.sessions import venue_of

CLOSED_SECONDS = PRICES_OUTSIDE.total_seconds()
# How long the answers of a source serve that has no times of its own, such as the price of a call, to keep.
VENDOR_SECONDS = PRICES_IN_HOURS.total_seconds()
TICKING_SECONDS = 60.0
TICKS_STOP_AFTER = timedelta(seconds=5)


class Reuse:
    """Says how long answers serve: some seconds, longer while ticks keep them fresh, longest between sessions.

    Args:
        seconds_of_source: how long a source's answers serve while its venue trades and no ticks come.
        last_prices: the ticks.
        rule: judges an answer anew each time it is given.
        clock: what the time is.
        calendar: when the venues trade, so that old prices of closed markets serve as long as new ones; None goes by
            the rule alone.
    """

    def __init__(
        self,
        seconds_of_source: Mapping[str, float],
        *,
        last_prices: LastPrices,
        rule: FreshnessRule,
        clock: Clock,
        calendar: Calendar | None = None,
    ) -> None:
        self._seconds_of_source = dict(seconds_of_source)
        self._last_prices = last_prices
        self._rule = rule
        self._clock = clock
        self._calendar = calendar

    def seconds_of(self, source: str) -> float:
        """Return how long answers of a source serve while its venue trades and no ticks come."""
        return self._seconds_of_source.get(source, 0.0)

    def again(self, quote: Quote, age_seconds: float) -> Quote | None:
        """Return the quote as it stands now; None when its source should be asked.

        Args:
            quote: what the source answered.
            age_seconds: how long ago it did.
        """
        freshness = self._rule.of(quote.instrument, quote.provenance.as_of)
        if age_seconds >= self._seconds(quote, freshness):
            return None
        return quote if self._is_known_better(quote, freshness) else quote.judged(freshness)

    def _is_known_better(self, quote: Quote, judged: Freshness) -> bool:
        """Say whether a source knows more than the rule: of its delay, and of days off."""
        told = quote.provenance.freshness
        if told is Freshness.DELAYED:
            return judged is not Freshness.CLOSED or self._is_late(quote)
        return told is Freshness.CLOSED and judged is Freshness.LIVE

    def _is_late(self, quote: Quote) -> bool:
        """Say whether a delayed price may not be its session's last, though the session is over."""
        told = quote.provenance
        return told.freshness is Freshness.DELAYED and self._clock.now() - told.as_of <= LATE_AT_MOST

    def _seconds(self, quote: Quote, freshness: Freshness) -> float:
        is_over = freshness is Freshness.CLOSED or self._is_between_sessions(quote)
        if is_over and not self._is_late(quote):
            return CLOSED_SECONDS
        source = quote.provenance.source
        ticked_at = self._last_prices.ticked_at(source, quote.instrument.id)
        if ticked_at is not None and self._clock.now() - ticked_at <= TICKS_STOP_AFTER:
            return TICKING_SECONDS
        return self.seconds_of(source)

    def _is_between_sessions(self, quote: Quote) -> bool:
        if self._calendar is None:
            return False
        return self._calendar.sessions_of(venue_of(quote.instrument)).is_open_at(self._clock.now()) is False
