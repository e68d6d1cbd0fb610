from datetime import UTC, datetime

import pytest

from market.domain.instruments import Exchange, Instrument, InstrumentKind
from market.domain.quotes import Freshness, Provenance, Quote

TCS = Instrument("NSE:TCS", Exchange.NSE, "TCS", "TCS Ltd.", InstrumentKind.EQUITY, "INR", "Information Technology")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def provenance(freshness: Freshness) -> Provenance:
    return Provenance("zerodha", NOON, freshness)


def test_the_change_has_no_binary_artefacts() -> None:
    quote = Quote(TCS, 3842.5, provenance(Freshness.LIVE), previous_close=3830.2)
    assert quote.change == 12.3
    assert quote.change_percent == 0.3211


def test_without_a_previous_close_there_is_no_change() -> None:
    quote = Quote(TCS, 3842.5, provenance(Freshness.LIVE))
    assert quote.change is None
    assert quote.change_percent is None


@pytest.mark.parametrize("freshness", [Freshness.LIVE, Freshness.DELAYED, Freshness.CLOSED, Freshness.STALE])
def test_a_real_price_that_outlives_its_source_is_stale(freshness: Freshness) -> None:
    stale = provenance(freshness).gone_stale()
    assert stale == provenance(Freshness.STALE)


def test_a_simulated_price_never_looks_like_a_real_one() -> None:
    assert provenance(Freshness.SIMULATED).gone_stale().freshness is Freshness.SIMULATED
