"""Market in a process of its own, at another time of day than it is: `market_program.py <seconds ahead>`."""

import sys
from datetime import datetime, timedelta

from chassis.clock import SystemClock
from chassis.process import load_settings, run_service
from market.app import build
from market.settings import Settings


class ShiftedClock(SystemClock):
    """The machine's clock, some time ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        """Return the time of day there."""
        return super().now() + self._ahead


if __name__ == "__main__":
    clock = ShiftedClock(timedelta(seconds=float(sys.argv[1])))
    settings = load_settings(Settings)
    run_service("market", settings, lambda: build(settings, clock))
