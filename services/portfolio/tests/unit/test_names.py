import pytest

from portfolio.domain.names import NameInvalid, require_name

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
NEWER_THAN_THIS_PYTHON = "\U0001fae9"


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "x" * 100,
        "Growth & Inkomst — ünïcode",
        " padded ",
        "क्\u200dष निवेश",
        "ക്\u200cഷ",
        "Long\u00a0term",
        "\u3000円",
        FAMILY,
        ENGLAND,
        "\u2764\ufe0f",
        NEWER_THAN_THIS_PYTHON,
    ],
)
def test_one_to_a_hundred_characters_are_a_name(name: str) -> None:
    require_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "\u00a0\u3000",
        "\u200d\u200b",
        "x" * 101,
        "two\nlines",
        "nul\0",
        "del\x7f",
        "c1\x85",
        "a\u2028b",
        "a\u2029b",
        "half \ud83d",
        "left\u202eright",
        "a\u200fb",
    ],
)
def test_anything_else_is_none(name: str) -> None:
    with pytest.raises(NameInvalid, match="1 to 100 characters, none of them a control character"):
        require_name(name)
