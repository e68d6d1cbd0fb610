"""The instruments the vendors' stand-ins know: Kite's tokens, ICICI's short names, ISINs, and a price for each."""

import string
from dataclasses import dataclass
from types import MappingProxyType

SEGMENTS = MappingProxyType(
    {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "BFO": 5, "BCD": 6, "MCX": 7, "MCXSX": 8, "INDICES": 9, "NCO": 12}
)


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as Kite lists it, with what ICICI calls it.

    Attributes:
        exchange: Kite's, `NSE`, `NFO`, …
        symbol: Kite's tradingsymbol.
        name: the company's or contract's.
        exchange_token: the exchange's number; with the segment it makes Kite's token.
        price: the last price, in rupees; an index's in points.
        isin: None for what has none (contracts, indices).
        icici_code: ICICI's short name; None where ICICI lists none.
        kind: Kite's instrument_type: `EQ`, `FUT`, `CE`, `PE`.
        segment: Kite's, when it is not the exchange.
        expiry: `YYYY-MM-DD`, or empty.
        strike: an option's, else 0.
        lot_size: units in a lot.
    """

    exchange: str
    symbol: str
    name: str
    exchange_token: int
    price: float
    isin: str | None = None
    icici_code: str | None = None
    kind: str = "EQ"
    segment: str = ""
    expiry: str = ""
    strike: float = 0
    lot_size: int = 1

    @property
    def key(self) -> str:
        """Return how quotes are asked for."""
        return f"{self.exchange}:{self.symbol}"

    @property
    def token(self) -> int:
        """Return Kite's instrument_token, whose last byte is the segment."""
        return self.exchange_token << 8 | SEGMENTS.get(self.segment, SEGMENTS[self.exchange])


def isin_of(country_and_number: str) -> str:
    """Return 11 characters with their check digit (ISO 6166: Luhn over the letters' numbers)."""
    digits = [int(digit) for letter in country_and_number for digit in str(string.printable.index(letter.lower()))]
    doubled = [digit * 2 if index % 2 == 0 else digit for index, digit in enumerate(reversed(digits))]
    return f"{country_and_number}{-sum(number // 10 + number % 10 for number in doubled) % 10}"


def _nse(symbol: str, name: str, exchange_token: int, *, price: float, isin: str, icici_code: str) -> Listing:
    return Listing("NSE", symbol, name, exchange_token, price, isin, icici_code)


def _bse(symbol: str, name: str, exchange_token: int, *, price: float, isin: str, icici_code: str) -> Listing:
    return Listing("BSE", symbol, name, exchange_token, price, isin, icici_code)


def _index(exchange: str, symbol: str, exchange_token: int, price: float) -> Listing:
    return Listing(exchange, symbol, symbol, exchange_token, price, segment="INDICES")


LISTINGS = (
    _nse("TCS", "TATA CONSULTANCY SERV LT", 11536, price=3842.5, isin="INE467B01029", icici_code="TCS"),
    _nse("INFY", "INFOSYS", 1594, price=1585, isin="INE009A01021", icici_code="INFTEC"),
    _nse("RELIANCE", "RELIANCE INDUSTRIES", 2885, price=1425, isin="INE002A01018", icici_code="RELIND"),
    _nse("HDFCBANK", "HDFC BANK", 1333, price=1925, isin="INE040A01034", icici_code="HDFBAN"),
    _nse("ICICIBANK", "ICICI BANK", 4963, price=1425, isin="INE090A01021", icici_code="ICIBAN"),
    _nse("SBIN", "STATE BANK OF INDIA", 3045, price=795, isin="INE062A01020", icici_code="STABAN"),
    _nse("ITC", "ITC", 1660, price=425, isin="INE154A01025", icici_code="ITC"),
    _nse("LT", "LARSEN & TOUBRO", 11483, price=3620, isin="INE018A01030", icici_code="LARTOU"),
    _nse("BHARTIARTL", "BHARTI AIRTEL", 10604, price=1890, isin="INE397D01024", icici_code="BHAAIR"),
    _nse("HINDUNILVR", "HINDUSTAN UNILEVER", 1394, price=2345, isin="INE030A01027", icici_code="HINLEV"),
    _nse("AXISBANK", "AXIS BANK", 5900, price=1195, isin="INE238A01034", icici_code="AXIBAN"),
    _nse("MARUTI", "MARUTI SUZUKI INDIA", 10999, price=12350, isin="INE585B01010", icici_code="MARUTI"),
    _nse("M&M", "MAHINDRA & MAHINDRA", 2031, price=2990, isin="INE101A01026", icici_code="MAHMAH"),
    _nse("BAJAJ-AUTO", "BAJAJ AUTO", 16669, price=8600, isin="INE917I01010", icici_code="BAAUTO"),
    _nse("ASIANPAINT", "ASIAN PAINTS", 236, price=2290, isin="INE021A01026", icici_code="ASIPAI"),
    _nse("TATASTEEL", "TATA STEEL", 3499, price=155, isin="INE081A01020", icici_code="TATSTE"),
    _nse("NIFTYBEES", "NIPPON INDIA ETF NIFTY BEES", 10576, price=270, isin="INF204KB14I2", icici_code="NIFBEE"),
    _nse("GOLDBEES", "NIPPON INDIA ETF GOLD BEES", 14428, price=80, isin="INF204KB17I5", icici_code="GOLDEX"),
    _nse("SUNPHARMA", "SUN PHARMACEUTICAL IND L", 3351, price=1680, isin="INE044A01036", icici_code="SUNPHA"),
    _nse("WIPRO", "WIPRO", 3787, price=252, isin="INE075A01022", icici_code="WIPRO"),
    _nse("TITAN", "TITAN COMPANY", 3506, price=3500, isin="INE280A01028", icici_code="TITIND"),
    _nse("KOTAKBANK", "KOTAK MAHINDRA BANK", 1922, price=2080, isin="INE237A01028", icici_code="KOTMAH"),
    _nse("HCLTECH", "HCL TECHNOLOGIES", 7229, price=1680, isin="INE860A01027", icici_code="HCLTEC"),
    _bse("TCS", "TCS", 532540, price=3841.8, isin="INE467B01029", icici_code="TCS"),
    _bse("RELIANCE", "RELIANCE", 500325, price=1424.7, isin="INE002A01018", icici_code="RELIND"),
    _bse("HDFCBANK", "HDFC BANK", 500180, price=1925.6, isin="INE040A01034", icici_code="HDFBAN"),
    _bse("SBIN", "SBI", 500112, price=794.9, isin="INE062A01020", icici_code="STABAN"),
    Listing("NSE", "SGBJUN31I-GB", "2.50% GOLDBONDS2031SR-I", 19000, 9450, isin_of("IN002023006"), kind="EQ"),
    Listing("NSE", "754GS2036-GS", "GOI LOAN 7.54% 2036", 19001, 103.4, isin_of("IN002022002"), kind="EQ"),
    _index("NSE", "NIFTY 50", 1001, 24000),
    _index("NSE", "NIFTY BANK", 1016, 52000),
    _index("BSE", "SENSEX", 1, 80000),
    Listing(
        "NFO",
        "NIFTY26NOVFUT",
        "NIFTY",
        60001,
        24055.5,
        kind="FUT",
        segment="NFO",
        expiry="2026-11-24",
        lot_size=75,
    ),
    Listing(
        "NFO",
        "NIFTY26NOV24000CE",
        "NIFTY",
        60002,
        182.35,
        kind="CE",
        segment="NFO",
        expiry="2026-11-24",
        strike=24000,
        lot_size=75,
    ),
    Listing(
        "CDS",
        "USDINR26NOVFUT",
        "USDINR",
        1350,
        88.9125,
        kind="FUT",
        segment="CDS",
        expiry="2026-11-26",
        lot_size=1,
    ),
    Listing(
        "MCX",
        "GOLDPETAL26NOVFUT",
        "GOLDPETAL",
        440001,
        12415,
        kind="FUT",
        segment="MCX",
        expiry="2026-11-30",
        lot_size=1,
    ),
)
BY_KEY = MappingProxyType({listing.key: listing for listing in LISTINGS})
