"""What was held was worth, day by day: brokers' rows by their snapshots, own portfolios by past closes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from portfolio.domain.amounts import money, product, total
from portfolio.domain.snapshots import Snapshot

SERIES_DAYS = 90
# Listed later than this, an instrument would cut the line short for all others.
FULL_ENOUGH_DAYS = SERIES_DAYS // 2
# A line of less than this part of today's value would be taken for the whole.
ENOUGH_OF_VALUE = Decimal("0.8")


class Gap(StrEnum):
    """Why there is no line."""

    NO_PAST = "no past"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class ValueSeries:
    """Worth by day, in one currency.

    Attributes:
        currency: its ISO 4217 code.
        is_simulated: whether rows or prices are made up.
        is_synced: True for brokers' rows as they were; False for what is in own portfolios today at past closes.
        points: the days, oldest first, at least two.
        left_out_count: how many instruments are not in it, for want of a past.
    """

    currency: str
    is_simulated: bool
    is_synced: bool
    points: Sequence[tuple[date, Decimal]]
    left_out_count: int = 0


@dataclass(frozen=True, slots=True)
class MissingSeries:
    """A line that is not there, of what, and why."""

    currency: str
    is_synced: bool
    gap: Gap


@dataclass(frozen=True, slots=True)
class HeldUnits:
    """What of an instrument is in a user's own portfolios together.

    Attributes:
        instrument: `EXCHANGE:SYMBOL`.
        currency: what it is priced in.
        quantity: the units.
        value: what they are worth now.
    """

    instrument: str
    currency: str
    quantity: Decimal
    value: Decimal


@dataclass(frozen=True, slots=True)
class PastCloses:
    """An instrument's finished sessions, oldest first: date and close, in today's units."""

    closes: Sequence[tuple[date, Decimal]]
    is_simulated: bool


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """What is known of the past of instruments.

    Attributes:
        closes: by instrument; one without a past is not in it.
        unanswered: those of which nobody said anything, in time.
    """

    closes: Mapping[str, PastCloses] = field(default_factory=dict)
    unanswered: frozenset[str] = frozenset()


def series_of_snapshots(
    snapshots: Sequence[Snapshot], *, currency: str
) -> tuple[Sequence[ValueSeries], Sequence[MissingSeries]]:
    """Return the worth of brokers' rows by day, real ones and simulated ones apart.

    A day on which one broker has no snapshot keeps that broker's last: its rows were there.
    """
    series = []
    for is_simulated in (False, True):
        of_kind = [each for each in snapshots if each.is_simulated is is_simulated]
        values: defaultdict[str, dict[date, Decimal]] = defaultdict(dict)
        for each in of_kind:
            values[each.broker.value][each.date] = each.current_value
        points = _summed([sorted(by_day.items()) for by_day in values.values()])
        if len(points) > 1:
            series.append(ValueSeries(currency, is_simulated, is_synced=True, points=points))
    missing = [] if series or not snapshots else [MissingSeries(currency, is_synced=True, gap=Gap.NO_PAST)]
    return series, missing


def series_of_holdings(
    held: Sequence[HeldUnits], past: PastAnswer, *, first: date
) -> tuple[Sequence[ValueSeries], Sequence[MissingSeries]]:
    """Return what today's units would have been worth, by currency, real closes and simulated ones apart.

    Args:
        held: what is held, each instrument once.
        past: what is known of its past.
        first: the first day that was asked for.
    """
    series: list[ValueSeries] = []
    missing: list[MissingSeries] = []
    for currency in dict.fromkeys(each.currency for each in held):
        of_currency = [each for each in held if each.currency == currency]
        lines = _lines_of(currency, of_currency, past, first)
        series += lines
        if not lines:
            is_silent = any(each.instrument in past.unanswered for each in of_currency)
            gap = Gap.NO_ANSWER if is_silent else Gap.NO_PAST
            missing.append(MissingSeries(currency, is_synced=False, gap=gap))
    return series, missing


def _lines_of(currency: str, held: Sequence[HeldUnits], past: PastAnswer, first: date) -> Sequence[ValueSeries]:
    latest_first = first + timedelta(days=FULL_ENOUGH_DAYS)
    known = [each for each in held if _reaches_back(past.closes.get(each.instrument), latest_first)]
    value = total(each.value for each in known)
    if not known or value < product(ENOUGH_OF_VALUE, total(each.value for each in held)):
        return []
    lines = []
    for is_simulated in (False, True):
        of_kind = [each for each in known if past.closes[each.instrument].is_simulated is is_simulated]
        closes = [_valued(each.quantity, past.closes[each.instrument]) for each in of_kind]
        points = _summed(closes, is_whole=True)
        if len(points) > 1:
            left_out = len(held) - len(known)
            lines.append(ValueSeries(currency, is_simulated, False, points, left_out))
    return lines


def _reaches_back(past: PastCloses | None, latest_first: date) -> bool:
    return past is not None and bool(past.closes) and past.closes[0][0] <= latest_first


def _valued(quantity: Decimal, past: PastCloses) -> Sequence[tuple[date, Decimal]]:
    return [(day, money(product(quantity, close))) for day, close in past.closes]


def _summed(lines: Sequence[Sequence[tuple[date, Decimal]]], *, is_whole: bool = False) -> list[tuple[date, Decimal]]:
    """Add lines up by day, each keeping its last value on days that it lacks.

    Args:
        lines: oldest first.
        is_whole: True leaves out the days before all of them have begun.
    """
    of_day: defaultdict[date, dict[int, Decimal]] = defaultdict(dict)
    for number, line in enumerate(lines):
        for day, value in line:
            of_day[day][number] = value
    last: dict[int, Decimal] = {}
    points = []
    for day in sorted(of_day):
        last.update(of_day[day])
        if not is_whole or len(last) == len(lines):
            points.append((day, total(last.values())))
    return points
