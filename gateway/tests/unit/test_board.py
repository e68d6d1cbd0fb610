import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bourse.market.v1 import quotes_pb2
from chassis.clock import ManualClock
from gateway.board import Board, BoardFull, instrument_of, is_symbol, plan_of, split_symbols
from gateway.wire import Incoming

Batches = Callable[..., Any]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 4, 7, 9, tzinfo=UTC))


@pytest.fixture
def board(clock: ManualClock) -> Board:
    return Board(clock, max_age_seconds=15, max_instruments=3)


def ask(board: Board, query: str, **headers: bytes) -> Any:
    raw = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    scope = {"method": "GET", "path": "/", "query_string": query.encode(), "headers": raw}
    return board.answer(Incoming(scope))


def quotes(board: Board, query: str) -> list[dict[str, Any]]:
    finished = ask(board, query)
    assert finished is not None
    found: list[dict[str, Any]] = json.loads(finished.body)["quotes"]
    return found


def test_a_tick_becomes_a_quote(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 3842.5}, previous_close=3830.2))

    assert quotes(board, "symbols=NSE:TCS") == [
        {
            "symbol": "NSE:TCS",
            "instrument": "NSE:TCS",
            "last_price": 3842.5,
            "change": 12.3,
            "change_pct": 0.32,
            "previous_close": 3830.2,
            "volume": None,
            "as_of": "2026-04-07T09:00:00.001500Z",
            "source": "sample",
            "freshness": "simulated",
        }
    ]


def test_without_a_previous_close_there_is_no_change(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 3842.5}))

    (quote,) = quotes(board, "symbols=NSE:TCS")
    assert quote["change"] is None
    assert quote["change_pct"] is None


def test_order_is_kept_duplicates_are_folded_and_forms_are_echoed(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0, "NSE:INFY": 2.0}))

    found = quotes(board, "symbols=infy,NSE:TCS,INFY,nse:tcs")

    assert [quote["symbol"] for quote in found] == ["infy", "NSE:TCS"]
    assert [quote["instrument"] for quote in found] == ["NSE:INFY", "NSE:TCS"]


@pytest.mark.parametrize("query", ["symbols=NSE%3ATCS%2CNSE%3AINFY", "symbols=NSE:TCS,+NSE:INFY,"])
def test_encoded_lists_are_understood(board: Board, make_batch: Batches, query: str) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0, "NSE:INFY": 2.0}))

    assert len(quotes(board, query)) == 2


def test_the_next_tick_changes_the_answer(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0}))
    first = ask(board, "symbols=NSE:TCS")
    again = ask(board, "symbols=NSE:TCS")
    board.apply(make_batch({"NSE:TCS": 2.0}, sequence=2))

    changed = ask(board, "symbols=NSE:TCS")

    assert first.body is again.body
    assert json.loads(changed.body)["quotes"][0]["last_price"] == 2.0
    assert dict(changed.headers)[b"etag"] != dict(first.headers)[b"etag"]


def test_what_the_board_does_not_hold_is_not_answered(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0}))

    assert ask(board, "symbols=NSE:TCS,NSE:INFY") is None


async def test_what_was_not_heard_of_for_long_is_not_answered(
    board: Board, clock: ManualClock, make_batch: Batches
) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0, "NSE:INFY": 1.0}))
    await clock.advance(10)
    board.apply(make_batch({"NSE:TCS": 2.0}, sequence=2))
    assert ask(board, "symbols=NSE:TCS,NSE:INFY") is not None
    await clock.advance(5)

    assert ask(board, "symbols=NSE:TCS,NSE:INFY") is None
    assert ask(board, "symbols=NSE:TCS") is not None


@pytest.mark.parametrize(
    "query",
    [
        "",
        "symbols=",
        "symbols=,,",
        "symbols=NSE:TCS&symbols=NSE:INFY",
        "other=1",
        "symbols=<script>",
        "symbols=" + ",".join(f"NSE:S{number}" for number in range(51)),
    ],
)
def test_anything_but_one_plain_list_is_left_to_the_route(query: str) -> None:
    assert plan_of(query.encode()) is None


@pytest.mark.parametrize("seconds", [-1, 10**12])
def test_a_price_of_an_impossible_time_is_refused(board: Board, make_batch: Batches, seconds: int) -> None:
    batch = make_batch({"NSE:TCS": 2.0})
    batch.base_time.seconds = seconds
    board.apply(make_batch({"NSE:TCS": 1.0}))
    board.apply(batch)

    assert [quote["last_price"] for quote in quotes(board, "symbols=NSE:TCS")] == [1.0]
    assert board.refused == 1


@pytest.mark.parametrize("close", [0.0, -1.0, math.nan, math.inf, 5e-324])
def test_an_impossible_close_leaves_good_json(board: Board, make_batch: Batches, close: float) -> None:
    board.apply(make_batch({"NSE:TCS": 1e300}, previous_close=close))
    finished = ask(board, "symbols=NSE:TCS")

    assert finished is not None
    (quote,) = json.loads(finished.body, parse_constant=pytest.fail)["quotes"]
    assert quote["change_pct"] is None


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_price_is_refused(board: Board, make_batch: Batches, price: float) -> None:
    board.apply(make_batch({"NSE:TCS": price}))

    assert ask(board, "symbols=NSE:TCS") is None
    assert board.refused == 1


def test_the_board_is_bounded(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:A": 1.0, "NSE:B": 1.0, "NSE:C": 1.0, "NSE:D": 1.0}))

    assert len(board) == 3
    assert board.refused == 1
    with pytest.raises(BoardFull):
        board.place("NSE:E")


async def test_old_and_unwatched_instruments_make_room(board: Board, clock: ManualClock, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:A": 1.0, "NSE:B": 1.0, "NSE:C": 1.0}))
    board.place("NSE:A").watchers.add("somebody")
    await clock.advance(20)

    board.apply(make_batch({"NSE:D": 1.0}, sequence=2))

    assert board.get("NSE:D") is not None
    assert board.get("NSE:A") is not None
    assert board.get("NSE:B") is None


def test_holes_are_counted(board: Board, make_batch: Batches) -> None:
    for sequence in (1, 2, 5):
        board.apply(make_batch({"NSE:A": 1.0}, sequence=sequence))

    assert board.holes == 1


def test_a_publisher_that_starts_anew_is_no_hole(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:A": 1.0}, sequence=7))
    restarted = make_batch({"NSE:A": 1.0}, sequence=900)
    restarted.epoch = 2
    board.apply(restarted)

    assert board.holes == 0


def a_quote(price: float) -> quotes_pb2.Quote:
    quote = quotes_pb2.Quote(instrument="NSE:TCS", symbol="TCS", last_price=price)
    quote.provenance.source = "yahoo"
    quote.provenance.freshness = quotes_pb2.FRESHNESS_CLOSED
    return quote


def test_a_quote_fills_a_place_without_ticks(board: Board) -> None:
    entry = board.adopt(a_quote(5.0))

    assert entry.last_price == 5.0
    assert b'"freshness":"closed"' in entry.tail
    assert ask(board, "symbols=TCS") is None


def test_a_quote_does_not_replace_a_live_tick(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0}))

    assert board.adopt(a_quote(5.0)).last_price == 1.0


def a_dated_quote(
    price: float,
    seconds: int,
    source: str = "yahoo",
    freshness: quotes_pb2.Freshness.ValueType = quotes_pb2.FRESHNESS_DELAYED,
) -> Any:
    quote = a_quote(price)
    quote.provenance.source, quote.provenance.freshness = source, freshness
    quote.provenance.as_of.seconds = seconds
    return quote


@pytest.mark.parametrize("seconds", [-1, 0, 1])
async def test_a_quote_of_an_earlier_moment_does_not_replace_a_tick_however_long_ago_it_came(
    board: Board, clock: ManualClock, make_batch: Batches, seconds: int
) -> None:
    batch = make_batch({"NSE:TCS": 1.0})
    batch.source, batch.freshness = "zerodha", quotes_pb2.FRESHNESS_LIVE
    batch.ticks[0].offset_microseconds = 0
    board.apply(batch)
    await clock.advance(3600)

    entry = board.adopt(a_dated_quote(5.0, batch.base_time.seconds + seconds))

    assert entry.last_price == (1.0 if seconds < 0 else 5.0)
    origin = b'"source":"zerodha","freshness":"stale"' if seconds < 0 else b'"source":"yahoo","freshness":"delayed"'
    assert origin in entry.tail
    board.adopt(a_dated_quote(5.0, batch.base_time.seconds + min(seconds, 0)))
    assert origin in entry.tail  # two answers may overtake each other

    batch.sequence += 1
    board.apply(batch)
    assert b'"source":"zerodha","freshness":"live"' in entry.tail


@pytest.mark.parametrize(
    ("freshness", "later", "said", "shown"),
    [
        (quotes_pb2.FRESHNESS_LIVE, 59, quotes_pb2.FRESHNESS_DELAYED, "live"),
        (quotes_pb2.FRESHNESS_LIVE, 61, quotes_pb2.FRESHNESS_DELAYED, "stale"),
        (quotes_pb2.FRESHNESS_DELAYED, 1_199, quotes_pb2.FRESHNESS_DELAYED, "delayed"),
        (quotes_pb2.FRESHNESS_DELAYED, 1_201, quotes_pb2.FRESHNESS_DELAYED, "stale"),
        (quotes_pb2.FRESHNESS_LIVE, 59, quotes_pb2.FRESHNESS_CLOSED, "closed"),
        (quotes_pb2.FRESHNESS_LIVE, 3_600, quotes_pb2.FRESHNESS_CLOSED, "closed"),
        (quotes_pb2.FRESHNESS_STALE, 3_600, quotes_pb2.FRESHNESS_CLOSED, "closed"),
        (quotes_pb2.FRESHNESS_STALE, 3_600, quotes_pb2.FRESHNESS_DELAYED, "stale"),
    ],
)
async def test_a_tick_beside_a_quote_of_an_earlier_moment_is_judged_by_its_age_or_its_session(
    board: Board,
    clock: ManualClock,
    make_batch: Batches,
    *,
    freshness: quotes_pb2.Freshness.ValueType,
    later: float,
    said: quotes_pb2.Freshness.ValueType,
    shown: str,
) -> None:
    batch = make_batch({"NSE:TCS": 1.0})
    batch.source, batch.freshness = "zerodha", freshness
    batch.ticks[0].offset_microseconds = 0
    board.apply(batch)
    await clock.advance(later)

    entry = board.adopt(a_dated_quote(5.0, batch.base_time.seconds - 1, freshness=said))

    assert f'"source":"zerodha","freshness":"{shown}"'.encode() in entry.tail


async def test_a_session_that_is_over_is_so_until_the_next_begins(
    board: Board, clock: ManualClock, make_batch: Batches
) -> None:
    batch = make_batch({"NSE:TCS": 1.0})
    batch.source, batch.freshness = "zerodha", quotes_pb2.FRESHNESS_LIVE
    board.apply(batch)
    before, shown = batch.base_time.seconds - 1, []
    for said in (quotes_pb2.FRESHNESS_CLOSED, quotes_pb2.FRESHNESS_STALE, quotes_pb2.FRESHNESS_CLOSED):
        await clock.advance(3600)
        shown.append(board.adopt(a_dated_quote(5.0, before, freshness=said)).tail.rpartition(b":")[2])
    assert shown == [b'"closed"}', b'"stale"}', b'"closed"}']


async def test_what_is_dated_ahead_is_of_no_session_that_is_over(
    board: Board, clock: ManualClock, make_batch: Batches
) -> None:
    batch = make_batch({"NSE:TCS": 1.0})
    batch.source, batch.freshness = "zerodha", quotes_pb2.FRESHNESS_LIVE
    batch.base_time.seconds += 7200
    board.apply(batch)
    await clock.advance(3600)
    entry = board.adopt(a_dated_quote(5.0, batch.base_time.seconds - 1, freshness=quotes_pb2.FRESHNESS_CLOSED))
    assert entry.tail.endswith(b'"freshness":"stale"}')


async def test_who_watches_hears_what_a_quote_changes(board: Board, clock: ManualClock, make_batch: Batches) -> None:
    batch = make_batch({"NSE:TCS": 1.0})
    batch.source, batch.freshness = "zerodha", quotes_pb2.FRESHNESS_LIVE
    entry = board.place("NSE:TCS")
    entry.watchers.add(object())
    board.apply(batch)
    board.changed.clear()
    await clock.advance(3600)

    board.adopt(a_dated_quote(5.0, batch.base_time.seconds - 1))
    assert board.changed == {entry}
    board.changed.clear()
    board.adopt(a_dated_quote(5.0, batch.base_time.seconds - 1))
    assert board.changed == set()
    board.adopt(a_dated_quote(5.0, batch.base_time.seconds + 1))
    assert board.changed == {entry}
    board.changed.clear()
    board.adopt(a_dated_quote(5.0, batch.base_time.seconds + 1))
    assert board.changed == set()


@pytest.mark.parametrize("freshness", [quotes_pb2.FRESHNESS_CLOSED, quotes_pb2.FRESHNESS_SIMULATED])
async def test_what_cannot_get_old_stays_what_it_is_beside_a_quote_of_an_earlier_moment(
    board: Board, clock: ManualClock, make_batch: Batches, freshness: quotes_pb2.Freshness.ValueType
) -> None:
    batch = make_batch({"NSE:TCS": 1.0})
    batch.source, batch.freshness = "zerodha", freshness
    board.apply(batch)
    tail = board.place("NSE:TCS").tail
    await clock.advance(3600)

    assert board.adopt(a_dated_quote(5.0, batch.base_time.seconds - 1, "zerodha", freshness)).tail == tail


def test_a_quote_of_an_earlier_moment_does_not_replace_a_quote(board: Board) -> None:
    board.adopt(a_dated_quote(1.0, 200))

    entry = board.adopt(a_dated_quote(5.0, 199))
    assert (entry.last_price, b'"delayed"' in entry.tail) == (1.0, True)
    assert board.adopt(a_dated_quote(5.0, 201)).last_price == 5.0


async def test_a_quote_that_is_not_said_any_more_is_stale_beside_one_of_an_earlier_moment(
    board: Board, clock: ManualClock
) -> None:
    board.adopt(a_dated_quote(1.0, 200))
    await clock.advance(3600)

    entry = board.adopt(a_dated_quote(5.0, 199))

    assert (entry.last_price, b'"source":"yahoo","freshness":"stale"' in entry.tail) == (1.0, True)


@pytest.mark.parametrize(
    ("source", "freshness"),
    [("sample", quotes_pb2.FRESHNESS_SIMULATED), ("yahoo", quotes_pb2.FRESHNESS_CLOSED)],
)
def test_moments_of_a_simulation_are_not_held_against_any_other(
    board: Board, source: str, freshness: quotes_pb2.Freshness.ValueType
) -> None:
    board.adopt(a_dated_quote(1.0, 200, "replay", quotes_pb2.FRESHNESS_SIMULATED))
    later = board.adopt(a_dated_quote(5.0, 100, source, freshness)).last_price

    back = board.adopt(a_dated_quote(7.0, 50, "replay", quotes_pb2.FRESHNESS_SIMULATED)).last_price

    assert (later, back) == (5.0, 7.0)


def test_only_watched_changes_are_gathered(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:A": 1.0, "NSE:B": 1.0}))
    board.place("NSE:A").watchers.add("somebody")

    board.apply(make_batch({"NSE:A": 2.0, "NSE:B": 2.0}, sequence=2))

    assert {entry.instrument for entry in board.changed} == {"NSE:A"}


def test_a_client_that_has_the_prices_gets_304(board: Board, make_batch: Batches) -> None:
    board.apply(make_batch({"NSE:TCS": 1.0}))
    etag = dict(ask(board, "symbols=TCS").headers)[b"etag"]

    assert ask(board, "symbols=TCS", if_none_match=etag).status == 304


def test_plans_are_bounded(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.board.MAX_PLANS", 2)
    for number in range(5):
        ask(board, f"symbols=S{number}")

    assert len(board._plans) <= 2


@pytest.mark.parametrize("text", ["NSE:TCS", "AAPL", "M&M", "BRK.B", "FX:EURUSD", "BAJAJ-AUTO"])
def test_symbols_of_all_markets_are_symbols(text: str) -> None:
    assert is_symbol(text)


@pytest.mark.parametrize("text", ["", ":TCS", "NSE:", "<b>", "A\n", "é", "A" * 22, "NSE:TCS:X", "^NSEI", "A/B", "A B"])
def test_other_texts_are_not(text: str) -> None:
    assert not is_symbol(text)


def test_bare_symbols_mean_nse() -> None:
    assert instrument_of("tcs") == "NSE:TCS"
    assert instrument_of("bse:tcs") == "BSE:TCS"


def test_lists_are_split() -> None:
    assert split_symbols(["a, b,,A", "c"]) == ["a", "b", "c"]
