"""Financial Modeling Prep as the market's bench needs it: on loopback, with all of our instruments, and quick.

What it knows of each symbol's day is worked out before it is asked, and its clock stands still, so that the bench
measures who asks and not who answers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import lru_cache
from multiprocessing.connection import Connection
from unittest.mock import patch

from processes import LOAD_CORE, part, receive

from market.domain.instruments import Exchange
from market.providers.reference.listing import read_listing
from upstreams import fmp_payloads
from upstreams.fmp import KEY, ROOT, fmp_server
from upstreams.fmp_market import BY_SYMBOL, FIRST_DAY, Bar, Listed, Place, daily_bars, standing

# One call: its path under `/stable`, without a slash before it, and its parameters.
Call = tuple[str, dict[str, str]]

AMERICAN = (Exchange.NASDAQ, Exchange.NYSE, Exchange.AMEX)
START_SECONDS = 60.0
REPLY_SECONDS = 20.0


class Vendor:
    """The vendor, in a process of its own.

    Attributes:
        port: where it listens.
        url: where its `/stable` is, with it.
        key: what it wants to see.
    """

    key = KEY

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.port = int(receive(pipe, within=START_SECONDS))
        self.url = f"http://127.0.0.1:{self.port}{ROOT}"

    @property
    def settings(self) -> dict[str, str]:
        """Return what has market ask it, as often as it likes, and for nobody but callers."""
        return {
            "MARKET_PROVIDERS": "fmp",
            "FMP_API_KEY": self.key,
            "FMP_BASE_URL": self.url,
            "FMP_BUDGET": "1000000/minute",
            "MARKET_POLL_SECONDS": "0",
        }

    def calls(self) -> list[Call]:
        """Return what it was asked since it was last asked for this."""
        self._pipe.send(None)
        return list(receive(self._pipe, within=REPLY_SECONDS))


@contextmanager
def running_vendor(with_history: Sequence[str]) -> Iterator[Vendor]:
    """Run it; of some symbols it knows all days before it is asked."""
    with part(serve, with_history, core=LOAD_CORE) as pipe:
        yield Vendor(pipe)


def serve(pipe: Connection, with_history: Sequence[str]) -> None:
    now = datetime.now(UTC)
    BY_SYMBOL.update((listed.symbol, listed) for listed in american_shares() if listed.symbol not in BY_SYMBOL)
    # The stand-in works these out anew for each answer, which would take most of the time of those who wait for it.
    known_standing = lru_cache(maxsize=None)(standing)
    for listed in BY_SYMBOL.values():
        known_standing(listed, now)
    bars = {symbol: daily_bars(BY_SYMBOL[symbol], FIRST_DAY, now.date(), now) for symbol in with_history}

    def known_bars(listed: Listed, first: date, last: date, _: datetime) -> list[Bar]:
        return [bar for bar in bars[listed.symbol] if first <= bar.begins <= last]

    with (
        patch.object(fmp_payloads, "standing", known_standing),
        patch.object(fmp_payloads, "daily_bars", known_bars),
        fmp_server(now=lambda: now, takes_key_from_query=True) as fmp,
    ):
        pipe.send(fmp.server.port)
        while pipe.poll(None):
            pipe.recv()
            fmp.journal.wait_until_idle()
            asked = fmp.journal.requests
            fmp.journal.clear()
            pipe.send([(request.path.removeprefix(f"{ROOT}/"), dict(request.query)) for request in asked])


def american_shares() -> Iterator[Listed]:
    """Return all that we have, near the prices that the sample market has."""
    for row in read_listing():
        exchange = row.instrument.exchange
        if exchange in AMERICAN:
            symbol, name = vendors_symbol(row.instrument.symbol), row.instrument.name
            yield Listed(
                symbol, name, row.price, "USD", exchange.value, Place.NEW_YORK, shares=1_000_000_000, dividend=0.2
            )


def vendors_symbol(symbol: str) -> str:
    """Return what the vendor calls an American share: it writes classes of shares with a hyphen."""
    return symbol.replace(".", "-")
