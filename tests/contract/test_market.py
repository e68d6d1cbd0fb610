"""The snapshot, live prices, the stream and the health page as the documents and the contract have them."""

from collections.abc import Sequence

import httpx
import pytest

from contract.documents import (
    LIVE_SYMBOLS,
    MAX_QUOTED_SYMBOLS,
    MAX_STREAMED_SYMBOLS,
    Health,
    LivePrices,
    Provenance,
    Quote,
    Snapshot,
    StreamedPrices,
    check,
    read,
    read_error,
)
from harness.clients import Account, open_stream

PRICES = "/api/portfolio/live-prices"
MIN_CASES = 30


async def quotes_of(client: httpx.AsyncClient, symbols: str) -> Sequence[Quote]:
    answer = read(LivePrices, await client.get(PRICES, params={"symbols": symbols}))
    assert answer["errors"] == []
    return answer["quotes"]


# --- snapshot -----------------------------------------------------------------------------------------------------


async def test_the_snapshot_has_every_documented_field(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/index/snapshot")

    snapshot = read(Snapshot, answer)
    for name in ("nifty_price", "banknifty_price", "sensex_price"):
        assert answer.json()[name] > 0
    # A percentage of the close before, not points.
    assert abs(snapshot["nifty_change"]) < 20


async def test_a_signals_confidence_is_measured(client: httpx.AsyncClient) -> None:
    for signal in read(Snapshot, await client.get("/api/index/snapshot"))["signals"]:
        low, confidence, high = signal["confidence_low"], signal["confidence"], signal["confidence_high"]
        if signal["cases"] < MIN_CASES:
            assert confidence is None
            continue
        assert low is not None
        assert confidence is not None
        assert high is not None
        assert low <= confidence <= high


async def test_every_sector_of_the_heatmap_has_its_change_in_percent(client: httpx.AsyncClient) -> None:
    for sector in read(Snapshot, await client.get("/api/index/snapshot"))["sectors"]:
        assert isinstance(sector["sector"], str)
        assert isinstance(sector["change_pct"], int | float)


# --- live prices --------------------------------------------------------------------------------------------------


async def test_the_documented_batch_is_answered_in_its_order(client: httpx.AsyncClient) -> None:
    quotes = await quotes_of(client, LIVE_SYMBOLS)

    assert [quote["symbol"] for quote in quotes] == LIVE_SYMBOLS.split(",")


async def test_a_quote_adds_up(client: httpx.AsyncClient) -> None:
    answer = await client.get(PRICES, params={"symbols": LIVE_SYMBOLS})

    for quote in answer.json()["quotes"]:
        assert quote["last_price"] - quote["change"] == pytest.approx(quote["previous_close"], abs=0.011)
        assert quote["change_pct"] == pytest.approx(100 * quote["change"] / quote["previous_close"], abs=0.011)


async def test_a_bare_symbol_means_nse_and_is_echoed(client: httpx.AsyncClient) -> None:
    answer = await client.get(PRICES, params={"symbols": "TCS"})

    assert [(quote["symbol"], quote["instrument"]) for quote in answer.json()["quotes"]] == [("TCS", "NSE:TCS")]


async def test_the_callers_form_is_echoed(client: httpx.AsyncClient) -> None:
    quotes = await quotes_of(client, "nse:tcs, INFY ,NSE:M&M,INDEX:NIFTY50,FX:EURUSD,NASDAQ:AAPL")

    expected = ["nse:tcs", "INFY", "NSE:M&M", "INDEX:NIFTY50", "FX:EURUSD", "NASDAQ:AAPL"]
    assert [quote["symbol"] for quote in quotes] == expected


async def test_duplicates_are_folded(client: httpx.AsyncClient) -> None:
    quotes = await quotes_of(client, "NSE:TCS,NSE:INFY,NSE:TCS,,NSE:INFY,")

    assert [quote["symbol"] for quote in quotes] == ["NSE:TCS", "NSE:INFY"]


async def test_an_unknown_symbol_does_not_fail_a_batch(client: httpx.AsyncClient) -> None:
    answer = await client.get(PRICES, params={"symbols": "NSE:NOSUCH,NSE:TCS,NSE:NEITHER"})

    prices = read(LivePrices, answer)
    assert [quote["symbol"] for quote in prices["quotes"]] == ["NSE:TCS"]
    assert [(missing["symbol"], missing["code"]) for missing in prices["errors"]] == [
        ("NSE:NOSUCH", "SYMBOL_UNKNOWN"),
        ("NSE:NEITHER", "SYMBOL_UNKNOWN"),
    ]


@pytest.mark.parametrize("symbols", ["NSE:NOSUCH", "NOSUCH", "NSE:NOSUCH,NSE:NEITHER", "NOWHERE:TCS"])
async def test_when_all_are_unknown_it_is_404(client: httpx.AsyncClient, symbols: str) -> None:
    read_error(await client.get(PRICES, params={"symbols": symbols}), 404)


async def test_up_to_fifty_are_answered_and_more_are_400(client: httpx.AsyncClient) -> None:
    unknown = [f"NSE:NONE{number}" for number in range(MAX_QUOTED_SYMBOLS)]

    fifty = await client.get(PRICES, params={"symbols": ",".join(["NSE:TCS", *unknown[1:]])})
    more = await client.get(PRICES, params={"symbols": ",".join(["NSE:TCS", *unknown])})

    assert len(read(LivePrices, fifty)["errors"]) == MAX_QUOTED_SYMBOLS - 1
    assert str(MAX_QUOTED_SYMBOLS) in read_error(more, 400)["message"]


@pytest.mark.parametrize("path", [PRICES, "/api/stream"])
@pytest.mark.parametrize("query", ["", "?symbols=", "?symbols=,", "?symbols=%20", "?symbol=NSE:TCS"])
async def test_the_list_of_symbols_is_required(client: httpx.AsyncClient, path: str, query: str) -> None:
    assert "symbols" in read_error(await client.get(f"{path}{query}"), 400)["message"]


# --- stream -------------------------------------------------------------------------------------------------------


async def test_a_stream_shows_a_snapshot_then_changes(client: httpx.AsyncClient) -> None:
    async with open_stream(client, "NSE:TCS,NASDAQ:AAPL") as stream:
        snapshot = check(StreamedPrices, await stream.wait_for("snapshot"))
        changes = check(StreamedPrices, await stream.wait_for("prices"))

    assert stream.seen[0].name == "snapshot"
    assert [quote["symbol"] for quote in snapshot["quotes"]] == ["NSE:TCS", "NASDAQ:AAPL"]
    assert {quote["symbol"] for quote in changes["quotes"]} <= {"NSE:TCS", "NASDAQ:AAPL"}


async def test_a_stream_is_events_that_nobody_keeps(client: httpx.AsyncClient) -> None:
    async with client.stream("GET", "/api/stream", params={"symbols": "NSE:TCS"}) as answer:
        assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_token_adds_the_users_own_alerts_to_a_stream(client: httpx.AsyncClient, account: Account) -> None:
    async with open_stream(client, "NSE:TCS", account.bearer) as stream:
        await stream.wait_for("snapshot")
        alert = {"type": "sell", "symbol": "MSFT", "price": 0.01}
        made = await client.post("/api/alerts/me", json=alert, headers=account.bearer)
        told = await stream.wait_for("alert")

    check(Provenance, told)
    assert told["id"] == made.json()["id"]
    assert told["fired_at"]


async def test_a_stream_with_a_token_that_is_no_good_is_401(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/stream", params={"symbols": "NSE:TCS"}, headers={"Authorization": "Bearer x"})

    read_error(answer, 401, "AUTH_REQUIRED")


async def test_a_stream_has_two_hundred_symbols_at_most(client: httpx.AsyncClient) -> None:
    symbols = ",".join(f"NSE:NONE{number}" for number in range(MAX_STREAMED_SYMBOLS + 1))

    assert str(MAX_STREAMED_SYMBOLS) in read_error(await client.get(f"/api/stream?symbols={symbols}"), 400)["message"]


# --- health -------------------------------------------------------------------------------------------------------


async def test_the_health_page_has_every_documented_field(client: httpx.AsyncClient) -> None:
    await client.get("/api/index/snapshot")

    health = read(Health, await client.get("/api/health"))

    assert health["warmers"]["index:snapshot"] == "warm"
    assert health["cache_l1"]["size"] >= 1
