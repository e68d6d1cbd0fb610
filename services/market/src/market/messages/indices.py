"""What indices are made of."""

from collections.abc import Sequence

from bourse.market.v1 import indices_pb2
from market.domain.constituents import Constituent, Index
from market.domain.index_desk import PricedConstituent
from market.messages.provenance import provenance_message


def constituents_message(index: Index, constituents: Sequence[Constituent]) -> indices_pb2.ListConstituentsResponse:
    """Answer with constituents."""
    return indices_pb2.ListConstituentsResponse(
        index=index.symbol,
        name=index.name,
        instrument=index.instrument,
        constituents=map(_constituent, constituents),
    )


def constituent_prices_message(
    index: Index, priced: Sequence[PricedConstituent]
) -> indices_pb2.ListConstituentPricesResponse:
    """Answer with constituents and prices."""
    return indices_pb2.ListConstituentPricesResponse(index=index.symbol, prices=map(_priced, priced))


def _constituent(constituent: Constituent) -> indices_pb2.Constituent:
    added = constituent.date_first_added
    return indices_pb2.Constituent(
        symbol=constituent.symbol,
        name=constituent.name,
        sector=constituent.sector,
        sub_sector=constituent.sub_sector,
        head_quarter=constituent.head_quarter,
        date_first_added=None if added is None else added.isoformat(),
        cik=constituent.cik,
        founded=constituent.founded,
        instrument=constituent.instrument,
        isin=constituent.isin,
        source=constituent.source,
        as_of=constituent.as_of.isoformat(),
    )


def _priced(priced: PricedConstituent) -> indices_pb2.ConstituentPrice:
    constituent, quote = _constituent(priced.constituent), priced.quote
    if quote is None:
        return indices_pb2.ConstituentPrice(constituent=constituent)
    return indices_pb2.ConstituentPrice(
        constituent=constituent,
        price=quote.last_price,
        change=quote.change,
        change_percent=quote.change_percent,
        provenance=provenance_message(quote.provenance),
    )
