"""Instruments, and what symbols mean."""

from bourse.market.v1 import instruments_pb2, quotes_pb2
from market.domain.aliases import Aliases
from market.domain.instruments import Instrument, Listing

_LISTINGS = {
    quotes_pb2.LISTING_UNSPECIFIED: Listing.UNSPECIFIED,
    quotes_pb2.LISTING_INDIA: Listing.INDIA,
    quotes_pb2.LISTING_UNITED_STATES: Listing.UNITED_STATES,
    quotes_pb2.LISTING_CURRENCIES: Listing.CURRENCIES,
}


def listing_of(value: "quotes_pb2.Listing.ValueType") -> Listing:
    """Return which market a bare symbol means; a value that is newer than this code counts as unspecified."""
    return _LISTINGS.get(value, Listing.UNSPECIFIED)


def instrument_message(instrument: Instrument) -> instruments_pb2.Instrument:
    """Describe an instrument."""
    return instruments_pb2.Instrument(
        id=instrument.id,
        exchange=instrument.exchange,
        symbol=instrument.symbol,
        name=instrument.name,
        kind=instruments_pb2.InstrumentKind.Value(f"INSTRUMENT_KIND_{instrument.kind.value}"),
        currency=instrument.currency,
        sector=instrument.sector,
    )


def described_message(instrument: Instrument, aliases: Aliases) -> instruments_pb2.DescribedInstrument:
    """Describe an instrument with its other names."""
    return instruments_pb2.DescribedInstrument(
        instrument=instrument_message(instrument),
        aliases=instruments_pb2.InstrumentAliases(
            isin=aliases.isin, yahoo=aliases.yahoo, kite_token=aliases.kite_token, fmp=aliases.fmp
        ),
    )
