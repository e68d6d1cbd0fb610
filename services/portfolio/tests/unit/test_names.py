import pytest

from portfolio.domain.names import NameInvalid, require_name


@pytest.mark.parametrize("name", ["A", "x" * 100, "Growth & Inkomst — ünïcode", " padded "])
def test_one_to_a_hundred_printable_characters_are_a_name(name: str) -> None:
    require_name(name)


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "two\nlines", "nul\0", "\u2028"])
def test_anything_else_is_none(name: str) -> None:
    with pytest.raises(NameInvalid, match="1 to 100 printable characters"):
        require_name(name)
