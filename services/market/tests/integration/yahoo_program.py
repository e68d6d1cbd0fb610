"""Yahoo as a source in a process of its own, asked over its standard input.

The library reads the addresses of proxy and authority when it is imported, so that they have to be in the environment
before; and what it keeps, it keeps for a whole process.
"""

import asyncio
import base64
import logging
import pickle
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from chassis.clock import ManualClock
from market.domain.capabilities import NothingKnown
from market.domain.freshness import SessionFreshness
from market.domain.quote_sources import SourceRefused
from market.providers.calendars.exchanges import load_calendar
from market.providers.reference.listing import read_listing
from market.providers.yahoo.fetch import open_yahoo
from market.providers.yahoo.source import YahooSource


class CountedBudget:
    """Counts, and refuses when nothing is left."""

    def __init__(self) -> None:
        self.taken = 0
        self.left = 1_000_000

    async def take(self, calls: int = 1) -> None:
        if calls > self.left:
            raise SourceRefused("may not be asked more often now", retry_after_seconds=30)
        self.taken += calls
        self.left -= calls


async def main(folder: Path, start: str, request_seconds: float) -> None:
    """Answer until the input ends."""
    logging.basicConfig(level=logging.DEBUG, filename=folder / "log")
    is_imported = "yfinance" in sys.modules
    clock, budget = ManualClock(datetime.fromisoformat(start)), CountedBudget()
    rule = SessionFreshness(await asyncio.to_thread(load_calendar, clock.now().date()), clock)
    async with open_yahoo(folder / "yahoo", budget, clock, request_seconds=request_seconds) as client:
        source = YahooSource([each.instrument for each in read_listing()], client, rule=rule, clock=clock)
        commands = {
            "is_imported_early": lambda: is_imported,
            "taken": lambda: budget.taken,
            "allow": lambda calls: setattr(budget, "left", calls),
        }
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments, keywords, times = pickle.loads(base64.b64decode(line))
            if name == "advance":
                await clock.advance(*arguments)
                answers: list[Any] = [("answer", None)]
            elif name in commands:
                answers = [("answer", commands[name](*arguments))]  # type: ignore[operator]
            else:
                calls = [_told(getattr(source, name)(*arguments, **keywords)) for _ in range(times)]
                answers = await asyncio.gather(*calls)
            sys.stdout.write(base64.b64encode(pickle.dumps(answers)).decode() + "\n")
            sys.stdout.flush()


async def _told(call: Any) -> tuple[Any, ...]:
    try:
        return ("answer", await call)
    except NothingKnown:
        return ("nothing known",)
    except SourceRefused as refusal:
        return ("refused", refusal.problem, refusal.retry_after_seconds)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
