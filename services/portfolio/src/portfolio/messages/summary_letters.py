"""Words a summary as a letter: HTML and plain text of the same facts, with charts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mail.messages import Letter, Picture
from mail.notice import NOTICE
from portfolio.domain.brokers import Broker
from portfolio.domain.contacts import Contact
from portfolio.domain.quotes import Provenance
from portfolio.domain.summaries import Line, PositionSection, Reality, Section, Summary, Totals
from portfolio.domain.value_series import Gap, MissingSeries, ValueSeries
from portfolio.messages.figures import (
    age_text,
    amount_text,
    change_text,
    moment_text,
    percent_text,
    price_text,
    quantity_text,
    tone_of,
)
from portfolio.messages.summary_charts import HEIGHT, WIDTH, chart_of, day_text

LIST = "portfolio-summary"
MAX_ROWS = 50
# Readers clip a mail of more than about a hundred kilobytes.
MAX_ROWS_IN_ALL = 80
MAX_TABLES = 20
MAX_CHARTS = 6
MAX_NAME_LENGTH = 60
DISPLAY_WIDTH = 560

_PREFIXES = {Reality.REAL: "", Reality.MIXED: "[Partly simulated] ", Reality.SIMULATED: "[Simulated] "}
_BROKERS = {Broker.ZERODHA: "Zerodha", Broker.ICICI: "ICICI Direct"}
_GAPS = {
    Gap.NO_PAST: "there is not enough of its past yet",
    Gap.NO_ANSWER: "its past prices could not be had in time",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A section as it is shown: the lines that find room, and how many do not."""

    title: str
    section: Section | PositionSection
    rows: Sequence[Line]
    more_count: int


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as it is shown; `name` is its picture's."""

    name: str
    title: str
    description: str
    caption: str
    series: ValueSeries


class SummaryLetters:
    """Words summaries.

    Args:
        public_url: where people reach the gateway.
    """

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url
        self._environment = Environment(
            loader=PackageLoader("portfolio.messages", "templates"),
            autoescape=select_autoescape(["html"], default_for_string=True, default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self._environment.filters.update(_filters())

    def write(self, summary: Summary, contact: Contact, letter_id: str) -> Letter:
        """Return the letter. It draws, which takes tens of milliseconds, and belongs in a thread.

        To an address that is not verified, which may be anybody's, goes no text that a user wrote.
        """
        charts = [_chart_of(number, each) for number, each in enumerate(summary.series[:MAX_CHARTS], 1)]
        shown = {
            "summary": summary,
            "reality": summary.reality.value,
            "headline": _headline(summary),
            "totals": summary.totals,
            "position_sums": summary.positions,
            "tables": list(_tables_of(summary, is_named=contact.is_email_verified)),
            "hides_names": bool(summary.own) and not contact.is_email_verified,
            "left_out_tables": max(0, _section_count(summary) - MAX_TABLES),
            "charts": charts,
            "missing_charts": [_missing_text(each) for each in summary.missing_series],
            "notice": NOTICE,
            "public_url": self._public_url,
            "unsubscribe_url": f"{self._public_url}/account#unsubscribe={contact.unsubscribe_token}&list={LIST}",
            "picture_width": DISPLAY_WIDTH,
            "picture_height": DISPLAY_WIDTH * HEIGHT // WIDTH,
        }
        return Letter(
            id=letter_id,
            to=contact.email,
            subject=f"{_PREFIXES[summary.reality]}Your portfolio summary, {moment_text(summary.at)}",
            text=self._environment.get_template("summary.txt").render(shown),
            html=self._environment.get_template("summary.html").render(shown),
            dated_at=summary.at,
            headers=self._headers(contact),
            pictures=[Picture(each.name, chart_of(each.series)) for each in charts],
        )

    def _headers(self, contact: Contact) -> Mapping[str, str]:
        address = f"{self._public_url}/api/email/unsubscribe?token={contact.unsubscribe_token}&list={LIST}"
        return {"List-Unsubscribe": f"<{address}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def shortened(name: str, length: int = MAX_NAME_LENGTH) -> str:
    """Return a name no longer than there is room for."""
    return name if len(name) <= length else f"{name[: length - 1]}\N{HORIZONTAL ELLIPSIS}"


def source_text(provenance: Provenance) -> str:
    """Say where a price comes from and how far it can be relied on."""
    freshness = provenance.freshness.value
    return f"{provenance.source}, {freshness if freshness == 'SIMULATED' else freshness.lower()}"


def _filters() -> dict[str, Any]:
    return {
        "amount": amount_text,
        "price": price_text,
        "change": change_text,
        "percent": percent_text,
        "quantity": quantity_text,
        "moment": moment_text,
        "age": age_text,
        "tone": tone_of,
        "broker": _BROKERS.__getitem__,
        "shortened": shortened,
        "source": source_text,
    }


def _headline(summary: Summary) -> str:
    """Say the totals in one line, for the preview that mail readers show of a message."""
    if summary.is_empty:
        return "There is nothing in your portfolios yet."
    return "; ".join(_total_text(each) for each in summary.totals) or "Nothing in your portfolios has a price just now."


def _total_text(totals: Totals) -> str:
    day = "" if totals.day_percent is None else f" ({percent_text(totals.day_percent)} today)"
    kind = "SIMULATED " if totals.is_simulated else ""
    return f"{kind}{amount_text(totals.value, totals.currency)}{day}"


def _titled_sections(summary: Summary, *, is_named: bool) -> Iterator[tuple[str, Section | PositionSection]]:
    for holdings in summary.holdings:
        yield f"{_BROKERS[Broker(holdings.name)]} holdings", holdings
    for positions in summary.positions:
        yield f"{_BROKERS[positions.broker]} positions", positions
    for number, own in enumerate(summary.own, 1):
        yield shortened(own.name) if is_named else f"Portfolio {number}", own


def _section_count(summary: Summary) -> int:
    return len(summary.holdings) + len(summary.positions) + len(summary.own)


def _tables_of(summary: Summary, *, is_named: bool) -> Iterator[Table]:
    """Give each section rows while there is room in the mail; its sums are told in any case."""
    room = MAX_ROWS_IN_ALL
    for title, section in islice(_titled_sections(summary, is_named=is_named), MAX_TABLES):
        rows = section.lines[: min(MAX_ROWS, room)]
        room -= len(rows)
        yield Table(title, section, rows, len(section.lines) - len(rows))


def _chart_of(number: int, series: ValueSeries) -> Chart:
    (first, before), (last, now) = series.points[0], series.points[-1]
    amounts = [amount for _, amount in series.points]
    currency = series.currency
    what = "Synced holdings" if series.is_synced else "Own portfolios"
    kind = ", SIMULATED" if series.is_simulated else ""
    title = f"{what} in {currency}{kind}"
    from_to = f"{amount_text(before, currency)} on {day_text(first)}, {amount_text(now, currency)} on {day_text(last)}"
    extremes = f"lowest {amount_text(min(amounts), currency)}, highest {amount_text(max(amounts), currency)}"
    description = f"{from_to}; {extremes}."
    return Chart(f"chart-{number}", title, description, _caption_of(series), series)


def _caption_of(series: ValueSeries) -> str:
    if series.is_synced:
        return "As brokers' holdings stood on each day; a day without a snapshot keeps the last."
    caption = "Today's holdings at past prices (daily closes)."
    if not series.left_out_count:
        return caption
    are = (
        "1 stock without past prices is"
        if series.left_out_count == 1
        else (f"{series.left_out_count} stocks without past prices are")
    )
    return f"{caption} {are} not in it."


def _missing_text(missing: MissingSeries) -> str:
    what = "your synced holdings" if missing.is_synced else "your own portfolios"
    return f"No chart of {what} in {missing.currency}: {_GAPS[missing.gap]}."
