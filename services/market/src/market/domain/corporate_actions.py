"""Answers what happened to instruments' units."""

from collections.abc import Sequence

from chassis.errors import Code, ServiceError
from market.domain.dates import read_date
from market.domain.ports import SplitSource
from market.domain.splits import Split

MAX_INSTRUMENTS = 1_000


class TooManyInstruments(ServiceError):
    """More instruments were asked about than one answer holds."""

    code = Code.INVALID_ARGUMENT
    reason = "TOO_MANY_INSTRUMENTS"

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} instruments were asked about; at most {MAX_INSTRUMENTS} are answered at once")


async def list_splits(source: SplitSource, instruments: Sequence[str], from_date: str) -> Sequence[Split]:
    """Return the splits of instruments that went ex on or after a date, oldest first.

    Args:
        source: who knows them.
        instruments: ids, `EXCHANGE:SYMBOL`, at most 1,000; unknown ones have none.
        from_date: the first ex-date wanted, `YYYY-MM-DD`.

    Raises:
        TooManyInstruments: there are more.
        DatesInvalid: the date is not one.
    """
    if len(instruments) > MAX_INSTRUMENTS:
        raise TooManyInstruments(len(instruments))
    found = await source.splits(frozenset(instruments), from_date=read_date("from_date", from_date))
    return sorted(found, key=lambda split: (split.ex_date, split.instrument))
