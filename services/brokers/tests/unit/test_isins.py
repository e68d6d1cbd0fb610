import pytest

from brokers.domain.isins import Directory, NoDirectory, ResolvedStock, Security

RELIANCE = Security("NSE", "RELIND", "INE002A01018", "RELIANCE")
RELIANCE_BSE = Security("BSE", "RELIND", "INE002A01018", "RELIANCE")
ON_BSE_ALONE = Security("BSE", "SMALLC", "INE111A01011", "SMALLCAP")
WITHOUT_ISIN = Security("NSE", "OLDCO", "", "OLDCOMPANY")
DIRECTORY = Directory([RELIANCE, RELIANCE_BSE, ON_BSE_ALONE, WITHOUT_ISIN, Security("NSE", "GONE", "INE9", "")])


@pytest.mark.parametrize(
    ("code", "isin", "expected"),
    [
        ("RELIND", "INE002A01018", ResolvedStock("RELIANCE", "INE002A01018")),
        # A code of its own, or none at all, does not matter where the ISIN is known.
        ("ANYTHING", "INE002A01018", ResolvedStock("RELIANCE", "INE002A01018")),
        ("RELIND", None, ResolvedStock("RELIANCE", "INE002A01018")),
        # The list knows the code under another ISIN: it was given anew.
        ("RELIND", "INE555A01015", ResolvedStock(None, "INE555A01015")),
        ("OLDCO", "INE777A01013", ResolvedStock("OLDCOMPANY", "INE777A01013")),
        ("OLDCO", None, ResolvedStock("OLDCOMPANY", None)),
        ("NOBODY", None, ResolvedStock(None, None)),
        ("GONE", "INE9", ResolvedStock(None, "INE9")),
    ],
)
def test_the_isin_decides_and_the_code_helps(code: str, isin: str | None, expected: ResolvedStock) -> None:
    assert DIRECTORY.resolve("NSE", code, isin) == expected


def test_a_security_is_listed_on_nse_before_bse() -> None:
    assert DIRECTORY.exchange_of("INE002A01018") == "NSE"
    assert DIRECTORY.exchange_of("INE111A01011") == "BSE"
    assert DIRECTORY.exchange_of("INE000000000") == "NSE"
    assert len(DIRECTORY) == 4


def test_without_a_list_nothing_is_resolved_and_nothing_lost() -> None:
    assert NoDirectory().resolve("NSE", "RELIND", "INE002A01018") == ResolvedStock(None, "INE002A01018")
    assert NoDirectory().exchange_of("INE002A01018") == "NSE"
