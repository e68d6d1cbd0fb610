"""`make check-mail`: looks at the mails that the services write, in headless Chromium, on a phone and wider.

It writes letters of made-up portfolios, without any service, shows each with its pictures inlined at 360 and 640
points, light and dark, and checks: nothing is wider than the screen, no picture is missing, no script, no address of
another host. Screenshots go to SCREENSHOTS, a folder, when that is set. Without Chromium it says that it is
skipped.
"""

import asyncio
import base64
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import sin
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

ROOT = Path(__file__).parents[1]
# The browser is driven as for the documentation page.
sys.path.insert(0, str(ROOT))

from scripts.check_page import NAMES, Browser, PageWrong, browser, keep, require  # noqa: E402

from alerts.domain import deliveries as alert_mails  # noqa: E402
from alerts.domain import letters as alert_letters  # noqa: E402
from alerts.domain.alerts import AlertType  # noqa: E402
from alerts.domain.alerts import Freshness as AlertFreshness  # noqa: E402
from alerts.domain.fires import Fire  # noqa: E402
from alerts.domain.positions import Position as ReplayPosition  # noqa: E402
from alerts.domain.tape import EvaluatedTick  # noqa: E402
from auth.domain import letters as account_letters  # noqa: E402
from auth.domain.users import IdentityProvider, User  # noqa: E402
from auth.domain.wanted_mails import MailKind, WantedMail  # noqa: E402
from mail.messages import Letter, compose  # noqa: E402
from portfolio.domain.brokers import Broker  # noqa: E402
from portfolio.domain.contacts import Contact  # noqa: E402
from portfolio.domain.manual_portfolios import ManualPortfolio  # noqa: E402
from portfolio.domain.prices import MarketView  # noqa: E402
from portfolio.domain.quotes import Freshness, Provenance, Quote, QuoteAnswer  # noqa: E402
from portfolio.domain.rows import BrokerHolding, BrokerPosition, PositionType, Sync, SyncedRows  # noqa: E402
from portfolio.domain.snapshots import value_rows  # noqa: E402
from portfolio.domain.splits import KnownSplits  # noqa: E402
from portfolio.domain.stock_entries import Stock  # noqa: E402
from portfolio.domain.summaries import Summary, summarise  # noqa: E402
from portfolio.domain.value_series import Gap, MissingSeries, ValueSeries  # noqa: E402
from portfolio.messages.summary_letters import SummaryLetters  # noqa: E402

NOW = datetime(2026, 3, 12, 8, 0, tzinfo=UTC)
TODAY = date(2026, 3, 12)
PUBLIC_URL = "https://bourse.example.com"
SENDER = "Bourse <bourse@example.com>"
CONTACT = Contact("asha@example.com", True, True, "t" * 43)
WIDTHS = (360, 640)
THEMES = ("light", "dark")
LONG = "Würde & <b>Größe</b> " + "W" * 79
MAX_HTML_BYTES = 100_000


# --- what is written ----------------------------------------------------------------------------------------------


def letters() -> Mapping[str, Letter]:
    """Return the letters to be looked at, by name."""
    writer = SummaryLetters(PUBLIC_URL)
    written = {
        "rich": rich(),
        "empty": summarise([], [], QuoteAnswer({}, frozenset()), at=NOW),
        "simulated": simulated(),
        "mixed": mixed(),
        "long": long(),
        "many": many(),
    }
    summaries = {name: writer.write(each, CONTACT, f"summary-{name}") for name, each in written.items()}
    return {**summaries, "alert": alert(), **account_mails()}


def alert() -> Letter:
    """Tell of an alert that fired at a made-up price, with a note."""
    tick = EvaluatedTick(149.5, NOW, "sample", "market", 7, 3, 9, ReplayPosition(1, 9))
    fire = Fire(
        alert_id=42,
        generation=3,
        type=AlertType.BUY,
        instrument="NASDAQ:AAPL",
        symbol="AAPL",
        price=Decimal("150.00"),
        tick=tick,
        before=replace(tick, price=151.0, at=NOW - timedelta(seconds=2), sequence=8),
        committed_at=NOW,
        crossed_during_gap=True,
        note=LONG,
    )
    contact = alert_mails.Contact("asha@example.com", is_verified=True, wants_alerts=True, unsubscribe_token="t" * 43)
    mail = alert_mails.MailTry(fire, AlertFreshness.SIMULATED, "7", attempts=1, shows_note=True)
    return alert_letters.letter_of(mail, contact, public_url=PUBLIC_URL)


def account_mails() -> Mapping[str, Letter]:
    """Ask to verify an address, and to set a password."""
    user = User("7", IdentityProvider.PASSWORD, f"{'a' * 60}@example.com", "Asha Rao", None, NOW)
    return {
        kind.value: account_letters.letter_of(
            WantedMail("i" * 22, "7", kind, NOW), user, SecretStr("t" * 43), public_url=PUBLIC_URL
        )
        for kind in MailKind
    }


def rich() -> Summary:
    """Tell of two brokers, positions and own portfolios in India and the United States."""
    zerodha = SyncedRows(
        sync(Broker.ZERODHA),
        (
            holding("TCS", "10", "3500", "3788", "3700"),
            holding("RELIANCE", "120.5", "2410.25", "2388.4", "2455"),
            holding("INFY", "45", "1402", "1533.2", "1530"),
            holding("SGBFEB32IV", "8", "6263"),
        ),
        (
            position("NIFTY26MAR22500CE", "75", "120.5", "131.25"),
            BrokerPosition(
                PositionType.NET,
                "NSE",
                "SBIN",
                Decimal(0),
                Decimal(1),
                buy_value=Decimal(9000),
                sell_value=Decimal(9150),
            ),
        ),
    )
    icici = SyncedRows(sync(Broker.ICICI), (holding("HDFCBANK", "60", "1633.5", "1722.1", "1700"),), ())
    view = MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), TODAY)
    own = [
        ManualPortfolio(
            1,
            "Long term",
            (
                stock("AAPL", "NASDAQ:AAPL", "12", "2100.55"),
                stock("MSFT", "NASDAQ:MSFT", "3.5", "1500"),
                stock("NSE:TCS", "NSE:TCS", "4", "13000"),
                stock("GONE", "NASDAQ:GONE", "100", "250"),
            ),
        ),
        ManualPortfolio(2, "Ideas", ()),
    ]
    quotes = {
        "NASDAQ:AAPL": quote("201.28", "199.13", "USD", source="yahoo", freshness=Freshness.DELAYED),
        "NASDAQ:MSFT": quote("388.45", "395.02", "USD", source="yahoo", freshness=Freshness.CLOSED, minutes=900),
        "NSE:TCS": quote("3790.15", "3701", "INR"),
    }
    return summarise(
        [value_rows(zerodha, view), value_rows(icici, view)],
        own,
        QuoteAnswer(quotes, frozenset()),
        at=NOW,
        series=[
            series("INR", "612500", is_synced=True),
            series("INR", "15160.6", is_synced=False),
            series("USD", "3774.94", is_synced=False, left_out_count=1),
        ],
    )


def simulated() -> Summary:
    """Tell of the sample market alone."""
    own = [
        ManualPortfolio(1, "First look", (stock("AAPL", "NASDAQ:AAPL", "2", "300"), stock("TCS", "NSE:TCS", "1", "1")))
    ]
    quotes = {
        "NASDAQ:AAPL": quote("201.28", "199.13", "USD", source="sample", freshness=Freshness.SIMULATED),
        "NSE:TCS": quote("3790.15", "3801", "INR", source="sample", freshness=Freshness.SIMULATED),
    }
    return summarise(
        [],
        own,
        QuoteAnswer(quotes, frozenset()),
        at=NOW,
        series=[series("USD", "402.56", is_synced=False, is_simulated=True)],
        missing_series=[MissingSeries("INR", is_synced=False, gap=Gap.NO_ANSWER)],
    )


def mixed() -> Summary:
    """Tell of real rows of a broker beside made-up prices."""
    rows = SyncedRows(sync(Broker.ZERODHA), (holding("TCS", "10", "3500", "3788", "3700"),), ())
    view = MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), TODAY)
    quotes = {"NSE:TCS": quote("3790.15", "3801", "INR", source="sample", freshness=Freshness.SIMULATED)}
    own = [ManualPortfolio(1, "Mine", (stock("NSE:TCS", "NSE:TCS", "1", "1"),))]
    return summarise([value_rows(rows, view)], own, QuoteAnswer(quotes, frozenset()), at=NOW)


def long() -> Summary:
    """Tell of what is as long as it may be."""
    symbol = "W" * 28
    rows = SyncedRows(
        sync(Broker.ICICI),
        (holding("M" * 64, "99999999999.99999999", "99999999999.99", "99999999999.99", "9999999999.99"),),
        (position("N" * 64, "-999999999999", "999999999", "999999999.55"),),
    )
    view = MarketView(QuoteAnswer({}, frozenset()), KnownSplits(), TODAY)
    own = [ManualPortfolio(1, LONG, (stock(symbol, f"NSE:{symbol}", "999999999999.99999999", "999999999999.99"),))]
    quotes = {f"NSE:{symbol}": quote("987654321.987654", "999999999.5", "INR")}
    return summarise(
        [value_rows(rows, view)],
        own,
        QuoteAnswer(quotes, frozenset()),
        at=NOW,
        series=[series("INR", "987654321987654321", is_synced=True)],
    )


def many() -> Summary:
    """Tell of more than finds room."""
    symbols = [f"STOCK{number:03}" for number in range(300)]
    own = [
        ManualPortfolio(
            portfolio, f"Portfolio {portfolio}", tuple(stock(each, f"NSE:{each}", "7", "700") for each in symbols)
        )
        for portfolio in range(1, 31)
    ]
    quotes = {f"NSE:{each}": quote(f"{90 + n / 10:.1f}", "100", "INR") for n, each in enumerate(symbols)}
    return summarise([], own, QuoteAnswer(quotes, frozenset()), at=NOW)


def sync(broker: Broker, *, is_simulated: bool = False) -> Sync:
    """Return a sync of half an hour ago."""
    synced_at = NOW - timedelta(minutes=31)
    return Sync("id", "7", broker, synced_at, synced_at, is_simulated)


def holding(symbol: str, quantity: str, average: str, *prices: str) -> BrokerHolding:
    """Return a holding of NSE; `prices` are the last one and the close, if they are known."""
    last, close = map(Decimal, prices) if prices else (None, None)
    return BrokerHolding(
        "NSE",
        symbol,
        Decimal(quantity),
        Decimal(0),
        average_price=Decimal(average),
        last_price=last,
        close_price=close,
    )


def position(symbol: str, quantity: str, average: str, last: str) -> BrokerPosition:
    """Return a net position of NFO."""
    return BrokerPosition(
        PositionType.NET,
        "NFO",
        symbol,
        Decimal(quantity),
        Decimal(1),
        average_price=Decimal(average),
        last_price=Decimal(last),
    )


def stock(symbol: str, instrument: str, quantity: str, total_cost: str) -> Stock:
    """Return a stock as its owner entered it."""
    return Stock(symbol, instrument, Decimal(quantity), Decimal(total_cost))


def quote(
    price: str,
    close: str,
    currency: str,
    *,
    source: str = "zerodha",
    freshness: Freshness = Freshness.LIVE,
    minutes: int = 0,
) -> Quote:
    """Return a quote that is some minutes old."""
    provenance = Provenance(source, NOW - timedelta(minutes=minutes), freshness)
    return Quote(Decimal(price), Decimal(close), provenance, currency)


def series(
    currency: str, last: str, *, is_synced: bool, is_simulated: bool = False, left_out_count: int = 0
) -> ValueSeries:
    """Return ninety days that end with a value."""
    points = [
        (TODAY - timedelta(days=90 - day), (Decimal(last) * Decimal(1 + 0.08 * sin(day / 9) * (90 - day) / 90)))
        for day in range(91)
        if (TODAY - timedelta(days=90 - day)).weekday() < 5  # noqa: PLR2004  # Monday to Friday
    ]
    return ValueSeries(currency, is_simulated, is_synced, points, left_out_count)


# --- how it is looked at ------------------------------------------------------------------------------------------


def shown_html(letter: Letter) -> str:
    """Return a letter's HTML as its message carries it, its pictures inlined; the message is read back for that."""
    message = compose(letter, SENDER)
    html = message.get_body(("html",))
    require(html is not None, "the letter has no HTML")
    text: str = html.get_content()  # type: ignore[union-attr]  # it was just looked for
    for part in message.walk():
        if part.get_content_maintype() == "image":
            encoded = base64.b64encode(part.get_content()).decode()
            text = text.replace(f"cid:{part['Content-ID'][1:-1]}", f"data:image/png;base64,{encoded}")
    return text


def check_words(name: str, letter: Letter) -> None:
    """Check what can be seen without a browser."""
    html = letter.html or ""
    require("<script" not in html, f"{name} has a script")
    require(len(html.encode()) <= MAX_HTML_BYTES, f"{name} has {len(html.encode())} bytes, which readers clip")
    strangers = [url for url in re.findall(r"https?://[^\s\"'<>]+", html) if not url.startswith(PUBLIC_URL)]
    require(not strangers, f"{name} names other hosts: {strangers}")
    heavy = [picture.name for picture in letter.pictures if len(picture.png) > 40_000]  # noqa: PLR2004
    require(not heavy, f"{name} has heavy pictures: {heavy}")


async def look(program: str, written: Mapping[str, Letter]) -> None:
    """Look at all letters in one browser."""
    with tempfile.TemporaryDirectory() as folder:
        async with browser(program) as page:
            for name, letter in written.items():
                path = Path(folder) / f"{name}.html"
                path.write_text(shown_html(letter), encoding="utf-8")
                for width in WIDTHS:
                    for theme in THEMES:
                        await look_at(page, f"{name}-{width}-{theme}", path.as_uri(), width=width, theme=theme)
                print(f"  {name}: ok", flush=True)
            strangers = {each for each in page.requested if urlsplit(each).scheme not in ("file", "data", "about")}
            require(not strangers, f"asked other hosts: {strangers}")
            require(not page.problems, f"the console says: {page.problems}")


async def look_at(page: Browser, name: str, url: str, *, width: int, theme: str) -> None:
    """See one letter at one width and theme."""
    await page.send("Emulation.setDeviceMetricsOverride", width=width, height=740, deviceScaleFactor=2, mobile=True)
    await page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    await page.open(url)
    wide = await page.run("document.documentElement.scrollWidth")
    require(wide <= width, f"{name} is {wide} wide")
    missing = await page.run(
        "[...document.images].filter((each) => !each.naturalWidth || each.src.startsWith('cid')).length"
    )
    require(missing == 0, f"{name} lacks {missing} pictures")
    require(await page.run("document.scripts.length") == 0, f"{name} has scripts")
    await picture(page, name)


async def picture(page: Browser, name: str) -> None:
    """Keep a screenshot of the whole letter where SCREENSHOTS says."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        shot = await page.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        await asyncio.to_thread(keep, Path(folder) / f"mail-{name}.png", base64.b64decode(shot["data"]))


def main(names: Sequence[str]) -> int:
    """Check all letters, or those named, and return the exit code."""
    written = {name: letter for name, letter in letters().items() if not names or name in names}
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    try:
        for name, letter in written.items():
            check_words(name, letter)
        if program is None:
            print("check-mail: SKIPPED, there is no Chromium here")
            return 0
        asyncio.run(look(program, written))
    except PageWrong as wrong:
        print(f"check-mail: {wrong}", file=sys.stderr)
        return 1
    print("check-mail: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
