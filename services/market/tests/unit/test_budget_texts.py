import pytest

from market.domain.budgets import BudgetInvalid, Window, parse_budget


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("300/minute;250/day", [Window(300, 60), Window(250, 86_400)]),
        (" 1500 / hour ; 60/Minute ", [Window(60, 60), Window(1_500, 3_600)]),
        ("1/second", [Window(1, 1)]),
    ],
)
def test_limits_are_read_the_shortest_first(text: str, windows: list[Window]) -> None:
    assert parse_budget(text) == windows


@pytest.mark.parametrize(
    "text",
    ["", "300", "0/minute", "1000001/day", "-1/minute", "3/fortnight", "3/minute;", "3/minute;4/minute", "²/day"],
)
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BudgetInvalid, match="such as 300/minute;250/day"):
        parse_budget(text)
