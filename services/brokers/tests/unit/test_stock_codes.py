from brokers.domain.isins import Directory, NoDirectory, Security

LISTED = [
    Security("NSE", "RELIND", "INE002A01018", "RELIANCE"),
    Security("BSE", "RELBSE", "INE002A01018", "RELIANCE"),
    Security("NSE", "RELOLD", "INE002A01018", "RELIANCE"),
    Security("NSE", "", "INE467B01029", "TCS"),
]


def test_a_symbol_has_the_code_of_its_exchange() -> None:
    directory = Directory(LISTED)
    assert directory.code_of("NSE", "RELIANCE") == "RELIND"
    assert directory.code_of("BSE", "RELIANCE") == "RELBSE"


def test_what_icici_lists_no_code_of_has_none() -> None:
    directory = Directory(LISTED)
    assert directory.code_of("NSE", "TCS") is None
    assert directory.code_of("BSE", "INFY") is None
    assert NoDirectory().code_of("NSE", "RELIANCE") is None
