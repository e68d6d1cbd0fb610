"""ICICI's SecurityMaster.zip: text files that join ICICI's short names, the exchanges' symbols and ISINs.

The header of the cash files is quoted with a blank before each quote, so that readers of CSV find names like
` "ShortName"`; the rows have no blanks.
"""

import io
import zipfile
from collections.abc import Iterable

from upstreams.instruments import Listing

CASH_COLUMNS = (
    *("Token", "ShortName", "Series", "CompanyName", "ticksize", "Lotsize", "DateOfListing", "DateOfDeListing"),
    *("IssuePrice", "FaceValue", "ISINCode", "52WeeksHigh", "52WeeksLow", "LifeTimeHigh", "LifeTimeLow", "HighDate"),
    *("LowDate", "Symbol", "InstrumentType", "PermittedToTrade", "IssueCapital", "WarningPercent", "FreezePercent"),
    *("CreditRating", "IssueRate", "IssueStartDate", "InterestPaymentDate", "IssueMaturityDate", "BoardLotQty"),
    *("Name", "DeleteFlag", "Remarks", "ExchangeCode"),
)
EMPTY_FILES = ("FONSEScripMaster.txt", "FOBSEScripMaster.txt", "CDNSEScripMaster.txt", "MCXScripMaster.txt")


def security_master(listings: Iterable[Listing]) -> bytes:
    """Write the zip with the shares among these."""
    shares = [listing for listing in listings if listing.icici_code is not None]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for exchange in ("NSE", "BSE"):
            rows = [_row(share) for share in shares if share.exchange == exchange]
            file.writestr(f"{exchange}ScripMaster.txt", "\r\n".join([_header(), *rows]) + "\r\n")
        for name in EMPTY_FILES:
            file.writestr(name, "")
    return archive.getvalue()


def _header() -> str:
    first, *others = CASH_COLUMNS
    return f'"{first}",' + ",".join(f' "{name}"' for name in others)


def _row(share: Listing) -> str:
    known = {
        "Token": str(share.exchange_token),
        "ShortName": share.icici_code or "",
        "Series": "EQ" if share.exchange == "NSE" else "A",
        "CompanyName": share.name,
        "ticksize": "0.05",
        "Lotsize": "1",
        "ISINCode": share.isin or "",
        "Name": share.name,
        "DeleteFlag": "N",
        "ExchangeCode": share.symbol,
    }
    return ",".join(f'"{known.get(column, "")}"' for column in CASH_COLUMNS)
