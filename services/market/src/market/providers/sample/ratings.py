"""What made-up analysts say of the sample market's shares; a target that was set once stands as it was set."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from market.domain.companies import MAX_PRICE_TARGETS, PriceTarget, Ratings, Recommendation
from market.domain.instruments import Instrument
from market.domain.ticks import microseconds_of, moment_of
from market.providers.sample.history import History
from market.providers.sample.made_up import FIRMS, HOST, MARK, PEOPLE, PUBLISHER, address_of
from market.providers.sample.noise import Hashes, Purpose, hashed, key_of, uniform

SESSIONS_LOOKED_BACK = 400
CHANCE = 0.16  # that a target is set after a session
LOWEST_FACTOR, FACTOR_SPREAD = 0.85, 0.45
DELAY_MICROSECONDS = 2 * 3_600_000_000  # between a close and a target after it, at most

# From which mean on, of 1 for strong sell to 5 for strong buy, the analysts together say what.
CONSENSUS = ((4.5, "Strong Buy"), (3.5, "Buy"), (2.5, "Hold"), (1.5, "Sell"), (0.0, "Strong Sell"))
MOST_OF_GRADE = (9, 25, 20, 6, 3)


class RatingsDesk:
    """Answers price targets and recommendations.

    Args:
        history: the closes that targets lie around.
        seed: what all randomness starts from.
    """

    def __init__(self, history: History, *, seed: int) -> None:
        self._history = history
        self._seed = seed

    def ratings(self, instrument: Instrument, moment: datetime) -> Ratings:
        """Return up to 50 targets of the last 400 sessions, newest first, and what is recommended this month."""
        key = key_of(instrument.id)
        return Ratings(self._targets(instrument, key, moment), self._recommendation(key, moment))

    def _targets(self, instrument: Instrument, key: np.uint64, moment: datetime) -> Sequence[PriceTarget]:
        times = self._history.times_of(instrument)
        finished = times.finished(microseconds_of(moment))
        positions = np.arange(max(0, finished - SESSIONS_LOOKED_BACK), finished)
        rows = times.rows[positions]
        draws = hashed(self._seed, Purpose.RATING, key, times.dates[positions].astype(np.int64))
        delays = (uniform(hashed(draws, 1)) * DELAY_MICROSECONDS).astype(np.int64)
        published = times.closes[positions] + delays
        chosen = np.flatnonzero((uniform(draws) < CHANCE) & (published <= microseconds_of(moment)))
        newest = chosen[::-1][:MAX_PRICE_TARGETS]
        steps_per_unit = self._history.listed(instrument).steps_per_unit
        closes = self._history.days(instrument, rows).close / steps_per_unit
        return [
            _target(instrument, moment_of(at), close, draw)
            for at, close, draw in zip(
                published[newest].tolist(), closes[newest].tolist(), draws[newest].tolist(), strict=True
            )
        ]

    def _recommendation(self, key: np.uint64, moment: datetime) -> Recommendation:
        month = moment.year * 12 + moment.month
        draws = hashed(self._seed, Purpose.RATING, key, month, np.arange(len(MOST_OF_GRADE)))
        strong_buy, buy, hold, sell, strong_sell = counts = _counts(draws)
        mean = sum(count * grade for count, grade in zip(counts, (5, 4, 3, 2, 1), strict=True)) / sum(counts)
        return Recommendation(
            strong_buy=strong_buy,
            buy=buy,
            hold=hold,
            sell=sell,
            strong_sell=strong_sell,
            consensus=next(name for least, name in CONSENSUS if mean >= least),
        )


def _counts(draws: Hashes) -> list[int]:
    return [1 + int(draw * most) for draw, most in zip(uniform(draws).tolist(), MOST_OF_GRADE, strict=True)]


def _target(instrument: Instrument, published_at: datetime, close: float, draw: int) -> PriceTarget:
    share = float(uniform(hashed(draw, 2)))
    target = round(close * (LOWEST_FACTOR + FACTOR_SPREAD * share), 2)
    firm = FIRMS[draw % len(FIRMS)]
    return PriceTarget(
        published_at=published_at,
        news_url=address_of("ratings", instrument.exchange, instrument.symbol, f"{draw:016x}"),
        news_title=f"{MARK} {firm} sets a made-up target of {target} on {instrument.symbol}",
        analyst_name=PEOPLE[draw // len(FIRMS) % len(PEOPLE)],
        price_target=target,
        adj_price_target=target,
        price_when_posted=close,
        news_publisher=PUBLISHER,
        news_base_url=HOST,
        analyst_company=firm,
    )
