"""The Indian market at a glance, put together from what is known; it asks nobody."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from market.domain.instruments import Exchange, InstrumentKind
from market.domain.quotes import PERCENT_DECIMALS, Freshness, Provenance, Quote
from market.domain.sessions import VenueSessions
from market.domain.signals import Signal, strongest

NIFTY = "INDEX:NIFTY50"
BANK_NIFTY = "INDEX:BANKNIFTY"
SENSEX = "INDEX:SENSEX"

FROM_BEST_TO_WORST = (Freshness.LIVE, Freshness.DELAYED, Freshness.CLOSED, Freshness.STALE, Freshness.SIMULATED)


@dataclass(frozen=True, slots=True)
class IndexLevel:
    """How one index stands.

    Attributes:
        instrument: its id, such as `INDEX:NIFTY50`.
        price: the last level.
        change_percent: the change from the previous close in percent; None for a first session.
        provenance: where the level comes from.
    """

    instrument: str
    price: float
    change_percent: float | None
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class SectorChange:
    """How one sector did.

    Attributes:
        sector: its name.
        change_percent: the mean change of its instruments from their previous close, in percent, each counting alike.
        instruments: how many the mean is over, at least 1.
    """

    sector: str
    change_percent: float
    instruments: int


@dataclass(frozen=True, slots=True)
class MarketState:
    """When the market trades.

    Attributes:
        is_open: whether it trades at `as_of`; False also where the calendar does not reach.
        as_of: the moment this is about.
        next_open: when it next opens; None while it is open or where the calendar does not reach.
        next_close: when it closes; None while it is closed.
    """

    is_open: bool
    as_of: datetime
    next_open: datetime | None
    next_close: datetime | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The market at a glance.

    Attributes:
        nifty: NIFTY 50; None when no source has it.
        bank_nifty: BANK NIFTY; None when no source has it.
        sensex: BSE SENSEX; None when no source has it.
        signals: the strongest, best first.
        sectors: the heatmap, strongest first.
        market: when NSE trades.
        provenance: the source and time of the oldest price in it, with the worst freshness of any; None without prices.
    """

    nifty: IndexLevel | None
    bank_nifty: IndexLevel | None
    sensex: IndexLevel | None
    signals: Sequence[Signal]
    sectors: Sequence[SectorChange]
    market: MarketState
    provenance: Provenance | None


def build_snapshot(quotes: Mapping[str, Quote], signals: Iterable[Signal], market: MarketState) -> Snapshot:
    """Put a snapshot together.

    Args:
        quotes: quotes by instrument id; others than the three indices and NSE's equities are passed over.
        signals: signals on NSE's instruments, in any order.
        market: when NSE trades.
    """
    equities = [quote for quote in quotes.values() if _is_in_heatmap(quote)]
    levels = [quotes[index] for index in (NIFTY, BANK_NIFTY, SENSEX) if index in quotes]
    return Snapshot(
        nifty=_level(quotes.get(NIFTY)),
        bank_nifty=_level(quotes.get(BANK_NIFTY)),
        sensex=_level(quotes.get(SENSEX)),
        signals=strongest(signals),
        sectors=sector_changes(equities),
        market=market,
        provenance=joint_provenance([quote.provenance for quote in (*levels, *equities)]),
    )


def market_state(sessions: VenueSessions, moment: datetime) -> MarketState:
    """Say whether a venue trades at `moment`, and until or from when."""
    is_open = bool(sessions.is_open_at(moment))
    return MarketState(
        is_open=is_open,
        as_of=moment,
        next_open=None if is_open else sessions.next_open(moment),
        next_close=sessions.next_close(moment) if is_open else None,
    )


def sector_changes(quotes: Iterable[Quote]) -> Sequence[SectorChange]:
    """Average the changes by sector, strongest first; quotes without a sector or a change are passed over."""
    changes: defaultdict[str, list[float]] = defaultdict(list)
    for quote in quotes:
        if quote.instrument.sector is not None and quote.change_percent is not None:
            changes[quote.instrument.sector].append(quote.change_percent)
    sectors = [SectorChange(name, round(fmean(each), PERCENT_DECIMALS), len(each)) for name, each in changes.items()]
    return sorted(sectors, key=lambda sector: (-sector.change_percent, sector.sector))


def joint_provenance(provenances: Sequence[Provenance]) -> Provenance | None:
    """Say how far several prices together can be relied on: the oldest time, its source, the worst freshness.

    Returns:
        None when there are no prices. What holds one simulated price is simulated.
    """
    if not provenances:
        return None
    oldest = min(provenances, key=lambda each: each.as_of)
    worst = max((each.freshness for each in provenances), key=FROM_BEST_TO_WORST.index)
    return Provenance(source=oldest.source, as_of=oldest.as_of, freshness=worst)


def _level(quote: Quote | None) -> IndexLevel | None:
    if quote is None:
        return None
    return IndexLevel(quote.instrument.id, quote.last_price, quote.change_percent, quote.provenance)


def _is_in_heatmap(quote: Quote) -> bool:
    instrument = quote.instrument
    return (
        instrument.exchange is Exchange.NSE
        and instrument.kind is InstrumentKind.EQUITY
        and instrument.sector is not None
        and quote.change_percent is not None
    )
