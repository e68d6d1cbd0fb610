"""Pictures of value over time: a line on a white card, so that dark mail readers show it as light ones do."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from PIL import Image, ImageDraw, ImageFont

from portfolio.domain.value_series import ValueSeries
from portfolio.messages.figures import short_text

# Shown at 280 to 560 points: labels are legible on a phone, and lines sharp on a screen of two pixels a point.
WIDTH, HEIGHT = 840, 400
# Drawn larger and brought down, for Pillow's lines have stairs.
SCALE = 2
COLOURS = 64
LEFT, RIGHT, TOP, BOTTOM = 24, 24, 28, 56
LABEL_GAP = 14
FONT_SIZE = 25
LINE_WIDTH = 5
DOT = 8
GRIDLINES = 4

PAPER, INK, GRID = (255, 255, 255), (75, 85, 99), (205, 210, 218)
LINES = {False: (29, 78, 216), True: (180, 83, 9)}
FILLS = {False: (232, 239, 254), True: (254, 243, 226)}

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """The amounts at gridlines, the lowest first, and the step between them."""

    ticks: Sequence[Decimal]
    step: Decimal

    @property
    def low(self) -> Decimal:
        """Return the amount at the bottom."""
        return self.ticks[0]

    @property
    def span(self) -> Decimal:
        """Return the amount from bottom to top, above 0."""
        return self.ticks[-1] - self.low


def axis_of(least: Decimal, most: Decimal) -> Axis:
    """Return a few round amounts that include two; the lowest and the highest are round too."""
    spread = most - least
    if spread <= 0:
        # A flat line runs in the middle.
        spread = max(abs(most) / 10, Decimal(1))
        least, most = least - spread / 2, most + spread / 2
    rough = spread / (GRIDLINES - 1)
    size = Decimal(1).scaleb(rough.adjusted())
    step = next(size * each for each in (1, 2, 5, 10) if size * each >= rough)
    low = (least / step).to_integral_value(ROUND_FLOOR)
    high = (most / step).to_integral_value(ROUND_CEILING)
    return Axis([step * number for number in range(int(low), int(high) + 1)], step)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where days and amounts are in a picture of the final size."""

    axis: Axis
    first: date
    last: date
    left: float

    def x(self, day: date) -> float:
        """Return where a day is, from the left."""
        part = (day - self.first).days / max(1, (self.last - self.first).days)
        return self.left + part * (WIDTH - RIGHT - DOT - self.left)

    def y(self, amount: Decimal) -> float:
        """Return where an amount is, from the top."""
        part = float((amount - self.axis.low) / self.axis.span)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)


def frame_of(series: ValueSeries) -> Frame:
    """Return where what is in a series' picture."""
    amounts = [amount for _, amount in series.points]
    axis = axis_of(min(amounts), max(amounts))
    font = _font(1)
    widest = max(font.getlength(short_text(tick, axis.step, series.currency)) for tick in axis.ticks)
    return Frame(axis, series.points[0][0], series.points[-1][0], LEFT + widest + LABEL_GAP)


def chart_of(series: ValueSeries) -> bytes:
    """Draw a series and return the PNG, WIDTH by HEIGHT pixels and some ten kilobytes. It belongs in a thread."""
    frame = frame_of(series)
    large = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    draw = ImageDraw.Draw(large)
    points = [(frame.x(day) * SCALE, frame.y(amount) * SCALE) for day, amount in series.points]
    _draw_fill(draw, points, FILLS[series.is_simulated])
    _draw_grid(draw, frame, series.currency)
    _draw_line(draw, points, LINES[series.is_simulated])
    _draw_days(draw, frame)
    small = large.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return content.getvalue()


def _font(scale: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(FONT_SIZE * scale)
    if not isinstance(font, ImageFont.FreeTypeFont):  # pragma: no cover  # Pillow's wheels have FreeType
        raise TypeError("Pillow was built without FreeType")
    return font


def _draw_fill(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: tuple[int, int, int]) -> None:
    ground = (HEIGHT - BOTTOM) * SCALE
    draw.polygon([(points[0][0], ground), *points, (points[-1][0], ground)], fill=colour)


def _draw_grid(draw: ImageDraw.ImageDraw, frame: Frame, currency: str) -> None:
    font = _font(SCALE)
    for tick in frame.axis.ticks:
        y = frame.y(tick) * SCALE
        draw.line([(frame.left * SCALE, y), ((WIDTH - RIGHT) * SCALE, y)], fill=GRID, width=SCALE)
        label = short_text(tick, frame.axis.step, currency)
        draw.text(((frame.left - LABEL_GAP) * SCALE, y), label, fill=INK, font=font, anchor="rm")


def _draw_line(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: tuple[int, int, int]) -> None:
    draw.line(points, fill=colour, width=LINE_WIDTH * SCALE, joint="curve")
    (x, y), radius = points[-1], DOT * SCALE
    draw.ellipse([(x - radius, y - radius), (x + radius, y + radius)], fill=colour)


def _draw_days(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    font, y = _font(SCALE), (HEIGHT - BOTTOM + LABEL_GAP) * SCALE
    draw.text((frame.left * SCALE, y), day_text(frame.first), fill=INK, font=font, anchor="la")
    draw.text(((WIDTH - RIGHT) * SCALE, y), day_text(frame.last), fill=INK, font=font, anchor="ra")


def day_text(day: date) -> str:
    """Write a date."""
    return f"{day.day} {day:%b %Y}"
