from portfolio.domain.wording import MAX_LISTED_LENGTH, listed, shown


def test_what_callers_wrote_is_quoted_and_shortened() -> None:
    assert shown("A\nB☃") == "'A\\nB\\u2603'"
    assert shown("x" * 41) == f"'{'x' * 40}...'"


def test_parts_are_joined() -> None:
    assert listed(["A"]) == "A"
    assert listed(["A", "B"]) == "A, B"
    assert listed(["A", "B"], separator="; ") == "A; B"


def test_parts_that_make_it_too_long_are_counted() -> None:
    assert listed(["AA", "BB", "CC", "DD"], max_length=6) == "AA, BB, and 2 more"
    assert len(listed(["SYMBOL"] * 10_000)) < MAX_LISTED_LENGTH + 20


def test_the_first_part_is_always_there() -> None:
    assert listed(["AAAA", "B"], max_length=1) == "AAAA, and 1 more"


def test_percent_signs_count_for_what_they_are_on_their_way() -> None:
    assert listed(["A", "%"], max_length=5) == "A, and 1 more"
    assert listed(["A", "%"], max_length=6) == "A, %"
