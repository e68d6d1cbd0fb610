"""What market needs from the outside, said by its user; adapters in `providers` and `storage` fit these shapes."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

from market.domain.answers import Answer
from market.domain.bars import DailyBars
from market.domain.exchanges import ExchangeFacts
from market.domain.instruments import Instrument
from market.domain.lease import Lease
from market.domain.pattern_statistics import PatternStatistics
from market.domain.quotes import Freshness, Quote
from market.domain.raw_history import Coverage, RawHistory
from market.domain.replays import ReplaySummary
from market.domain.sessions import KnownSessions, Venue, VenueSessions
from market.domain.signals import Signal
from market.domain.splits import Split
from market.domain.ticks import Tick

Value = TypeVar("Value")


class Leadership(Protocol):
    """Knows whether this replica leads, which one at a time does."""

    @property
    def epoch(self) -> int | None:
        """Return this replica's turn, in microseconds since 1970, later ones greater; None when it has none."""
        ...

    @property
    def is_leading(self) -> bool:
        """Say whether nobody else can lead now. It is False in a turn while that is in doubt, and may be True again."""
        ...

    @property
    def is_seamless(self) -> bool:
        """Say whether nothing can have been lost in front of this turn: it is the first, or was given over whole.

        False where that is not known, as when the turn before ran out, and outside a turn.
        """
        ...

    @property
    def takeovers(self) -> int:
        """Return how many turns this process has had."""
        ...

    def note_loss(self) -> None:
        """Have it remembered that ticks of this turn may be lost, so that it is not given over as whole."""
        ...

    def note_shown(self) -> None:
        """Have it remembered that whoever reads ticks has seen, in every shard, what may be lost in front of this turn.

        Until then such a turn is not given over as whole: what a shard has no batch behind, nobody knows to be lost.
        """
        ...

    async def begun(self) -> int:
        """Wait until this replica has a turn, and return its epoch."""
        ...


class LeaseStore(Protocol):
    """Keeps the one lease of all replicas. What it changes is changed as it returns, and seen by all."""

    async def read(self) -> Lease:
        """Return the lease.

        Raises:
            DatabaseUnavailable: the database did not answer.
        """
        ...

    async def renew(self, held: Lease) -> Lease | None:
        """Change the lease of who still holds it in that turn, and return it; None when it is another's.

        Raises:
            DatabaseUnavailable: it may have been renewed or not.
        """
        ...

    async def take(self, seen: Lease, next_turn: Lease) -> Lease | None:
        """Put the next turn in the place of what was seen, and return it; None when it has changed since.

        Raises:
            DatabaseUnavailable: it may have been taken or not.
        """
        ...

    async def release(self, holder: str, *, is_whole: bool) -> None:
        """Give back whatever a replica holds.

        Args:
            holder: the replica.
            is_whole: whether all that it published is known to have reached NATS.

        Raises:
            DatabaseUnavailable: it may have been given back or not.
        """
        ...


class Calendar(Protocol):
    """Knows when the venues trade."""

    def sessions_of(self, venue: Venue) -> VenueSessions:
        """Return the sessions of a venue over the days that are known."""
        ...


class ExchangeCalendars(Protocol):
    """Knows when every exchange trades, those without instruments of ours too."""

    async def sessions_of_exchange(self, exchange: ExchangeFacts) -> KnownSessions:
        """Return the sessions of an exchange around today; the first question about one may take a second."""
        ...


class FreshnessRule(Protocol):
    """Says how far prices can be relied on."""

    def of(self, instrument: Instrument, as_of: datetime) -> Freshness:
        """Judge a price of an instrument that was made at `as_of`, as of now."""
        ...


class InstrumentSource(Protocol):
    """Says what a source has."""

    @property
    def name(self) -> str:
        """Return the source's name, as provenance shows it."""
        ...

    @property
    def is_simulated(self) -> bool:
        """Say whether its prices are made up or replayed."""
        ...

    def instruments(self) -> Sequence[Instrument]:
        """Return every instrument the source has."""
        ...


class QuoteSource(InstrumentSource, Protocol):
    """Answers what instruments cost now."""

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Return the quotes by instrument id; an instrument without a price yet is left out.

        Raises:
            SourceRefused: it says why not, and perhaps when to ask again.
            Exception: whatever else the source's client raises; the caller counts it as a failure of the source.
        """
        ...

    @property
    def answers_in_bulk(self) -> bool:
        """Say whether hundreds of instruments cost what one costs, so that it can be asked for them again and again."""
        ...


class Budget(Protocol):
    """Counts the calls to a vendor that limits them, over all replicas where they share a Redis."""

    async def take(self, calls: int = 1) -> None:
        """Count calls that are about to be made.

        Raises:
            SourceRefused: that many may not be made now; none was counted.
        """
        ...


class SharedShelf(Protocol[Value]):
    """Keeps answers of one kind for all replicas. It never fails: what cannot be read was not kept."""

    async def read(self, keys: Collection[str]) -> Mapping[str, Answer[Value]]:
        """Return what was kept, by key, however old; a key without anything is left out."""
        ...

    async def keep(self, answers: Mapping[str, Answer[Value]], *, ttl_seconds: float) -> None:
        """Keep answers by key for at most `ttl_seconds`."""
        ...


class SharedAnswers(Protocol):
    """Keeps answers for all replicas."""

    def shelf(self, name: str, value_type: Any) -> SharedShelf[Any]:
        """Return the shelf of one kind.

        Args:
            name: names the kind.
            value_type: the type of each answer's value, such as `Sequence[Article]`.
        """
        ...


class SharedSnapshot(Protocol):
    """What replicas tell each other of the snapshot. It never fails: what cannot be read was not told."""

    async def keep(self, quotes: Sequence[Quote], asked_at: datetime) -> None:
        """Tell what sources answered."""
        ...

    async def read(self) -> tuple[Sequence[Quote], datetime] | None:
        """Return what was told last, and when sources answered it; None when nothing was, or long ago."""
        ...

    async def note_reader(self) -> None:
        """Tell that somebody reads the snapshot."""
        ...

    async def has_reader(self) -> bool:
        """Say whether somebody read it in the last minute, on any replica."""
        ...


class BarSource(InstrumentSource, Protocol):
    """Answers with daily history."""

    @property
    def configuration(self) -> Mapping[str, str | int]:
        """Return whatever decides which bars it gives, so that figures measured on them can be kept apart."""
        ...

    async def daily_bars(self, instruments: Sequence[Instrument], *, count: int) -> Sequence[DailyBars]:
        """Return the newest `count` finished daily bars of each instrument, in the order asked.

        A session that still runs has no bar. A series is shorter, or empty, where there is less history.
        """
        ...


class TickSource(InstrumentSource, Protocol):
    """Brings ticks as they happen."""

    @property
    def freshness(self) -> Freshness:
        """Return how far its ticks can be relied on."""
        ...

    @property
    def is_paced(self) -> bool:
        """Say whether ticks come by the world's clock, so that they are dropped when NATS is away; others can wait."""
        ...

    def slices(self) -> AsyncGenerator[Sequence[Tick], None]:
        """Yield what each slice of time brought, oldest first, until the source has nothing more.

        Who is not paced goes on, when called again, with the slice at which the one before was closed.
        """
        ...


class SplitSource(Protocol):
    """Knows splits, consolidations and bonus issues."""

    async def splits(self, instruments: Collection[str], *, from_date: date) -> Sequence[Split]:
        """Return what went ex on or after a date, in any order; an instrument it does not know has none.

        Args:
            instruments: ids, `EXCHANGE:SYMBOL`.
            from_date: the first ex-date wanted.
        """
        ...


class CurrentSignals(Protocol):
    """Knows the signals of the newest finished session."""

    async def current(self) -> Sequence[Signal]:
        """Return them in no order of worth; none where nobody has daily bars."""
        ...


class PatternStatisticsRepository(Protocol):
    """Keeps what one source's patterns were worth, in one configuration of that source."""

    async def replace(self, statistics: PatternStatistics) -> None:
        """Put statistics in the place of those of the same session, all or none."""
        ...

    async def read(self, session: date) -> PatternStatistics | None:
        """Return the statistics to use on a session; None when they were not measured or not kept whole."""
        ...


class DailyBarRepository(Protocol):
    """Keeps what sources said of daily bars, each source's for itself; what it has it never changes."""

    async def coverages(self, instrument: str) -> Mapping[str, Coverage]:
        """Return by source what is known of an instrument."""
        ...

    async def read(self, instrument: str, source: str, *, first: date, last: date | None = None) -> RawHistory:
        """Return the bars from `first` to `last`, or to the newest, and all events from `first` on."""
        ...

    async def append(self, source: str, raw: RawHistory, coverage: Coverage) -> None:
        """Add what is not yet there and widen what is covered, all or none."""
        ...


class Replay(Protocol):
    """Plays history once."""

    @property
    def summary(self) -> ReplaySummary:
        """Return what the whole replay holds."""
        ...

    def start(self) -> None:
        """Let a held replay begin; has no effect on one that has begun."""
        ...

    def follow(self, shard: int, at_microseconds: int) -> None:
        """Take into account that another replica plays, and has sent a shard's ticks up to a moment.

        Args:
            shard: the shard, 0 to 15.
            at_microseconds: the moment, in microseconds since 1970.
        """
        ...

    def end(self) -> None:
        """Take into account that everything was played, here or by another replica."""
        ...
