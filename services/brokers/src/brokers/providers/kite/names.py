"""What Kite calls instruments: as we do, but for indices."""

_INDICES = {
    "INDEX:NIFTY50": "NSE:NIFTY 50",
    "INDEX:BANKNIFTY": "NSE:NIFTY BANK",
    "INDEX:SENSEX": "BSE:SENSEX",
}
_EXCHANGES = ("NSE:", "BSE:")


def kite_name(instrument: str) -> str | None:
    """Return Kite's `exchange:tradingsymbol`; None for what Kite does not have."""
    if instrument.startswith(_EXCHANGES):
        return instrument
    return _INDICES.get(instrument)
