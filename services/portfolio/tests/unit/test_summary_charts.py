"""A chart is looked at as pixels: it is whole, small, and its line is where the amounts are."""

import io
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from portfolio.domain.value_series import ValueSeries
from portfolio.messages.summary_charts import HEIGHT, LINES, PAPER, WIDTH, axis_of, chart_of, frame_of

FIRST = date(2026, 1, 1)
MAX_BYTES = 40_000


def series(*amounts: str, currency: str = "INR", is_simulated: bool = False) -> ValueSeries:
    points = [(FIRST + timedelta(days=number), Decimal(amount)) for number, amount in enumerate(amounts)]
    return ValueSeries(currency, is_simulated, is_synced=True, points=points)


def pixels(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.verify()
    return Image.open(io.BytesIO(png)).convert("RGB")


def is_near(pixel: object, colour: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= 24 for one, other in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("is_simulated", [False, True])
def test_the_line_is_where_the_amounts_are(is_simulated: bool) -> None:
    drawn = series("100000", "180000", "120000", "160000", "110000", is_simulated=is_simulated)
    frame, image = frame_of(drawn), pixels(chart_of(drawn))
    assert image.size == (WIDTH, HEIGHT)
    for day, amount in drawn.points[1:]:
        at = (round(frame.x(day)), round(frame.y(amount)))
        assert is_near(image.getpixel(at), LINES[is_simulated]), (day, amount)
        assert not is_near(image.getpixel((at[0], at[1] - 20)), LINES[is_simulated])
    assert [image.getpixel(each) for each in ((1, 1), (WIDTH - 2, HEIGHT - 2))] == [PAPER, PAPER]


def test_the_picture_is_opaque_and_the_same_each_time() -> None:
    png = chart_of(series("1", "2", "3"))
    assert png == chart_of(series("1", "2", "3"))
    image = Image.open(io.BytesIO(png))
    assert (image.mode, "transparency" in image.info) == ("P", False)


@pytest.mark.parametrize(
    "amounts", [["5", "5"], ["0", "0"], ["-3", "4"], ["0.0001", "0.0002"], ["1", "987654321987654321"]]
)
def test_any_amounts_can_be_drawn(amounts: list[str]) -> None:
    assert len(chart_of(series(*amounts, currency="USD"))) < MAX_BYTES


def test_a_quarter_of_ups_and_downs_is_small() -> None:
    amounts = [str(100_000 + (number * 7_919) % 50_000) for number in range(91)]
    png = chart_of(series(*amounts))
    assert pixels(png).size == (WIDTH, HEIGHT)
    assert len(png) < MAX_BYTES


@given(st.decimals("-1e15", "1e15", places=2), st.decimals("-1e15", "1e15", places=2))
def test_an_axis_has_a_few_round_amounts_around_what_it_shows(one: Decimal, other: Decimal) -> None:
    axis = axis_of(min(one, other), max(one, other))
    assert axis.ticks[0] <= min(one, other) <= max(one, other) <= axis.ticks[-1]
    assert 2 <= len(axis.ticks) <= 6
    assert axis.span > 0
    assert axis.step.normalize().as_tuple().digits in ((1,), (2,), (5,))


def test_labels_leave_room_for_the_line() -> None:
    assert frame_of(series("1", "987654321987654321")).left < WIDTH / 2
