"""What indices are made of, each row with where it comes from and for which day it holds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from chassis.errors import Code, ServiceError
from market.domain.instruments import shown


class IndexUnknown(ServiceError):
    """There is no such index, or its constituents are not known."""

    code = Code.NOT_FOUND
    reason = "INDEX_UNKNOWN"

    def __init__(self, index: str, known: Iterable[str]) -> None:
        super().__init__(f"{shown(index)} names no index; it should be one of {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Index:
    """An index whose constituents are known.

    Attributes:
        symbol: what callers name it by.
        name: its name in full.
        instrument: the index itself, as `INDEX:SYMBOL`.
        other_names: what else it is called, in upper case, letters and digits only.
    """

    symbol: str
    name: str
    instrument: str
    other_names: tuple[str, ...]


# NASDAQ means the 100, as it does to the documents' data source; the composite has some three thousand.
INDICES = (
    Index("SP500", "S&P 500", "INDEX:SP500", ("SANDP500", "SP", "SPX", "GSPC")),
    Index("NASDAQ", "NASDAQ-100", "INDEX:NASDAQ100", ("NASDAQ100", "NDX", "NDX100")),
    Index("DJI", "Dow Jones Industrial Average", "INDEX:DJI", ("DJIA", "DOW", "DOW30", "DOWJONES")),
    Index("NIFTY50", "NIFTY 50", "INDEX:NIFTY50", ("NIFTY", "NSEI", "CNXNIFTY")),
    Index("BANKNIFTY", "NIFTY Bank", "INDEX:BANKNIFTY", ("NIFTYBANK", "NSEBANK", "CNXBANK")),
    Index("SENSEX", "BSE SENSEX", "INDEX:SENSEX", ("BSESENSEX", "BSESN", "BSE30", "SENSEX30")),
)


@dataclass(frozen=True, slots=True)
class Constituent:
    """One member of an index; None is what no source says.

    Attributes:
        index: the symbol of the index.
        instrument: identifies the member as `EXCHANGE:SYMBOL`.
        name: the company's name.
        source: where the row comes from, several joined by `+`, the one that says it is a member first.
        as_of: the day for which that one says so.
        sector: its sector, of the GICS in the United States and of NSE's classification in India.
        sub_sector: its GICS sub-industry.
        head_quarter: where the company has its seat.
        date_first_added: when it joined the index.
        cik: the company's number with the SEC, ten digits.
        founded: the year it was founded.
        isin: its ISIN.
    """

    index: str
    instrument: str
    name: str
    source: str
    as_of: date
    sector: str | None = None
    sub_sector: str | None = None
    head_quarter: str | None = None
    date_first_added: date | None = None
    cik: str | None = None
    founded: str | None = None
    isin: str | None = None

    @property
    def symbol(self) -> str:
        """Return the exchange's own symbol."""
        return self.instrument.partition(":")[2]


class ConstituentList:
    """The constituents of all indices.

    Args:
        constituents: in any order.
    """

    def __init__(self, constituents: Iterable[Constituent]) -> None:
        members: defaultdict[str, list[Constituent]] = defaultdict(list)
        for each in constituents:
            members[each.index].append(each)
        self._members = {index: sorted(of_index, key=lambda each: each.symbol) for index, of_index in members.items()}
        self._indices = {name: each for each in INDICES for name in (each.symbol, *each.other_names)}

    def find(self, index: str) -> Index:
        """Return the index of a name: in any case, marks and spaces passed over, as `S&P 500` or `^GSPC`.

        Raises:
            IndexUnknown: there is none.
        """
        # upper() turns some letters outside ASCII into ASCII ones, so they are refused before it.
        plain = "".join(filter(str.isalnum, index)).upper() if index.isascii() else ""
        found = self._indices.get(plain)
        if found is None:
            raise IndexUnknown(index, (each.symbol for each in INDICES))
        return found

    def of(self, index: Index) -> Sequence[Constituent]:
        """Return the constituents of an index, by symbol."""
        return self._members.get(index.symbol, ())
