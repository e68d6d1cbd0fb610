from collections.abc import Callable

import numpy as np
import pytest

from market.domain.bars import DailyBars


def make_random_bars(
    instrument: str, *, seed: int, count: int, price: float = 100.0, tick: float = 0.05, volatility: float = 0.02
) -> DailyBars:
    """A random walk on a tick grid, on weekdays with holidays of its own."""
    random = np.random.default_rng(seed)
    close = price * np.exp(np.cumsum(random.normal(0, volatility, count)))
    before = np.concatenate([close[:1], close[:-1]])
    open_ = before * np.exp(random.normal(0, volatility / 3, count))
    high = np.maximum(open_, close) * np.exp(np.abs(random.normal(0, volatility / 2, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(random.normal(0, volatility / 2, count)))
    weekdays = np.busday_offset("2023-01-02", np.arange(2 * count + 1), roll="forward")
    sessions = np.sort(random.choice(weekdays[: count + count // 10 + 1], count, replace=False))
    columns = [np.maximum(np.round(column / tick), 1) * tick for column in (open_, high, low, close)]
    return DailyBars(instrument, sessions.astype("datetime64[D]"), *columns)


@pytest.fixture(scope="session")
def make_bars() -> Callable[..., DailyBars]:
    return make_random_bars
