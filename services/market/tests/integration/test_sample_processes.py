import subprocess
import sys

import pytest

DAILY_PRICES = """
import hashlib
from datetime import date
from market.providers.reference.listing import read_listing
from market.providers.sample.daily import DailyPrices
listing = read_listing()
kinds = [DailyPrices.make(listing, 7, date(2026, 1, 7)), DailyPrices.make_past(listing[:20], 7)]
bars = b"".join(each.high.tobytes() + each.close.tobytes() + each.volume.tobytes() for each in kinds)
print(hashlib.sha256(bars).hexdigest())
"""

ANSWERS = """
import asyncio
import hashlib
from datetime import UTC, date, datetime
from chassis.clock import ManualClock
from market.domain.companies import StatementKind
from market.providers.calendars.exchanges import load_calendar
from market.providers.reference.listing import read_listing
from market.providers.sample.source import SampleSource

async def ask():
    now = datetime(2026, 1, 6, 22, 0, tzinfo=UTC)
    some = [each for each in read_listing() if each.instrument.id in ("NASDAQ:AAPL", "NSE:TCS")]
    clock = ManualClock(now)
    source = SampleSource(some, load_calendar(now.date()), clock, seed=7, tick_seconds=5, is_always_open=True)
    share = source.instruments()[0]
    return repr([
        await source.intraday_bars(share, now.date(), now.date()),
        await source.profile(share),
        await source.statements(share, StatementKind.BALANCE_SHEET, is_annual=False, limit=8),
        await source.dividends(share),
        await source.ratings(share),
        await source.after_market_quote(share),
        await source.earnings(now.date(), date(2026, 3, 31)),
        await source.latest_news(page=0, limit=20),
        await source.treasury_rates(date(2025, 12, 1), now.date()),
    ])

print(hashlib.sha256(asyncio.run(ask()).encode()).hexdigest())
"""


@pytest.mark.parametrize("program", [DAILY_PRICES, ANSWERS])
def test_every_process_makes_the_same_market(program: str) -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "TZ": timezone},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for hash_seed, timezone in (("1", "UTC"), ("2", "Asia/Kolkata"))
    }
    assert len(printed) == 1
    assert len(printed.pop()) == 64
