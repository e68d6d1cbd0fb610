"""Articles of the sample market: one each few minutes, told apart by numbers that count from 1970.

Each says in its title and its text that it is simulated; an article has the same address for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from market.domain.instruments import Instrument, InstrumentKind
from market.domain.news import Article
from market.domain.ticks import microseconds_of, moment_of
from market.providers.sample.daily import FIRST_DAY
from market.providers.sample.made_up import HOST, MARK, PUBLISHER, address_of
from market.providers.sample.noise import Hashes, Purpose, hashed, key_of, uniform

PICTURES = 12
GENERAL_SHARE = 0.25  # of the latest articles are about nothing in particular
DAY_MICROSECONDS = timedelta(days=1) // timedelta(microseconds=1)
FIRST_MICROSECOND = (FIRST_DAY - date(1970, 1, 1)).days * DAY_MICROSECONDS

GENERAL = (
    "Sample markets drift as invented traders weigh random numbers",
    "Made-up indices end a simulated session mixed",
    "Pretend economists expect the next draw to be independent of the last",
    "A fictional rate decision leaves imaginary bonds unmoved",
    "Simulated currencies wander in a quiet, invented session",
    "Placeholder commodities report finds nothing to report",
)
ABOUT = (
    "{name}: the sample market's shares wander on",
    "Five made-up numbers to watch at {name}",
    "{name} draws the attention of analysts who do not exist",
    "What a random walk means for the simulated {symbol}",
    "Invented volume picks up in {symbol}",
    "{name}: a fictional preview of a simulated quarter",
    "{symbol} among the movers of the sample market",
    "Imaginary investors stay calm about {name}",
)
RELEASES = (
    "{name}: a placeholder announcement of a simulated meeting",
    "{name}: a made-up notice of a pretend conference call",
    "{name}: an invented statement without content",
    "{name}: a sample press release for trying out the news page",
)


@dataclass(frozen=True, slots=True)
class _Stream:
    """One run of articles, each published at some moment of its own slot of time."""

    name: str
    slot_microseconds: int
    titles: tuple[str, ...]
    is_sometimes_general: bool = False


LATEST = _Stream("news", 10 * 60_000_000, ABOUT, is_sometimes_general=True)
OF_INSTRUMENT = _Stream("stock-news", 3 * 3_600_000_000, ABOUT)
PRESS = _Stream("press-releases", 30 * 60_000_000, RELEASES)


class NewsDesk:
    """Writes articles about the listing's instruments.

    Args:
        instruments: the listing's instruments.
        seed: what all randomness starts from.
    """

    def __init__(self, instruments: Sequence[Instrument], *, seed: int) -> None:
        self._shares = [each for each in instruments if each.kind is InstrumentKind.EQUITY]
        self._seed = seed

    def latest(self, moment: datetime, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the newest articles at a moment, newest first."""
        return self._page(LATEST, None, moment, slice(page * limit, (page + 1) * limit))

    def about(self, instrument: Instrument, moment: datetime, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the newest articles about an instrument."""
        return self._page(OF_INSTRUMENT, instrument, moment, slice(page * limit, (page + 1) * limit))

    def press_releases(self, moment: datetime, *, page: int, limit: int) -> Sequence[Article]:
        """Return a page of the newest press releases."""
        return self._page(PRESS, None, moment, slice(page * limit, (page + 1) * limit))

    def _page(
        self, stream: _Stream, instrument: Instrument | None, moment: datetime, wanted: slice
    ) -> Sequence[Article]:
        key = hashed(self._seed, Purpose.ARTICLE, key_of(stream.name if instrument is None else instrument.id))
        now, width = microseconds_of(moment), stream.slot_microseconds
        newest = now // width
        if self._published(key, newest, width) > now:
            newest -= 1
        oldest = max(newest - wanted.stop, FIRST_MICROSECOND // width - 1)
        return [self._article(stream, instrument, key, slot) for slot in range(newest - wanted.start, oldest, -1)]

    def _published(self, key: Hashes, slot: int, width: int) -> int:
        return slot * width + int(float(uniform(hashed(key, slot, 0))) * width)

    def _article(self, stream: _Stream, instrument: Instrument | None, key: Hashes, slot: int) -> Article:
        choice = int(hashed(key, slot, 1))
        subject = instrument or self._subject(stream, choice)
        about = "the market" if subject is None else subject.name
        titles = GENERAL if subject is None else stream.titles
        title = titles[choice % len(titles)]
        if subject is not None:
            title = title.format(name=subject.name, symbol=subject.symbol)
        place = () if instrument is None else (instrument.exchange, instrument.symbol)
        return Article(
            published_at=moment_of(self._published(key, slot, stream.slot_microseconds)),
            title=f"{MARK} {title}",
            url=address_of(stream.name, *place, f"{slot}-{choice:016x}"),
            symbol=None if subject is None else subject.symbol,
            publisher=PUBLISHER,
            image=address_of("images", "news", f"{choice % PICTURES}.png"),
            site=HOST,
            text=f"The sample market of Bourse made this article up: nothing in it is about {about} as it is.",
        )

    def _subject(self, stream: _Stream, choice: int) -> Instrument | None:
        """Return the share an article is about; None for one about nothing in particular."""
        share = (choice >> 32) / 2**32
        if not self._shares or (stream.is_sometimes_general and share < GENERAL_SHARE):
            return None
        return self._shares[(choice >> 8) % len(self._shares)]
