"""The board: each instrument's last price, kept as a finished JSON fragment and updated by its ticks.

`/api/portfolio/live-prices` joins fragments, `/api/stream` sends them. A fragment is made when it is first wanted after
a tick, once for all who want it. What the board does not hold, or has not heard of for too long, market is asked for.
"""

import json
import logging
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from nats.aio.msg import Msg

from bourse.market.v1 import quotes_pb2, ticks_pb2
from chassis.clock import Clock
from gateway.http_cache import Entry as CacheEntry
from gateway.http_cache import Policy, finish, make_entry
from gateway.reply import MAX_CHANGE_DECIMALS, MAX_PERCENT_DECIMALS, rfc3339, rounded, short_names
from gateway.wire import JSON, Finished, Header, Incoming

log = logging.getLogger(__name__)

TICKS_SUBJECT = "ticks.>"
MAX_QUOTED_SYMBOLS = 50
MAX_PLANS = 1_024
MAX_PUBLISHED_SHARDS = 4_096
MAX_PLANNED_QUERY = 2_048
MICROSECONDS = 1_000_000
END_OF_TIME_MICROSECONDS = 253_402_300_800 * MICROSECONDS  # what a date can hold
HASH_MASK = 2**64 - 1
BARE_EXCHANGE = "NSE"
POLICY = Policy("public, max-age=1", 1)
# How far a venue's clock may be ahead of ours.
LONGEST_AHEAD_SECONDS = 60
# So long after it was made a price passes for it. A session's last price stays that, and a simulation's is never
# anything else.
GOOD_FOR_SECONDS: dict[int, float] = {quotes_pb2.FRESHNESS_LIVE: 60, quotes_pb2.FRESHNESS_DELAYED: 20 * 60}
JSON_HEADERS: list[Header] = [(b"content-type", JSON)]

# What market takes as a symbol, at most MAX_SYMBOL_LENGTH characters of it.
_ONE_SYMBOL = "(?:[A-Za-z]{2,10}:)?[A-Za-z0-9][A-Za-z0-9.&_-]{0,20}"
SYMBOL_PATTERN = f"^{_ONE_SYMBOL}$"
SYMBOL_LIST_PATTERN = f"^[ ,]*{_ONE_SYMBOL}(?: *,[ ,]*{_ONE_SYMBOL})*[ ,]*$"

_SYMBOL = re.compile(SYMBOL_PATTERN)
_FRESHNESS_NAMES = short_names(quotes_pb2.Freshness.DESCRIPTOR)


class BoardFull(RuntimeError):
    """Every place on the board is watched."""

    def __init__(self) -> None:
        super().__init__("too many instruments are being watched")


def is_symbol(text: str) -> bool:
    """Say whether a text can be a symbol at all, with or without an exchange."""
    return _SYMBOL.fullmatch(text) is not None


class Entry:
    """One instrument's last price.

    Attributes:
        world: the simulation that made the price; None for the market's own.
        watchers: who wants to hear of changes; the streams' affair.
        kept_tail: the fragment after its symbol; None when it must be made anew.
        heard_at: when its last tick came, by the monotonic clock; minus infinity when it is only known from a quote.
        quoted_at: when a quote was taken last; minus infinity before any was.
        origin: how its source and freshness are written now.
        told_origin: how they were when the price was told.
    """

    __slots__ = (
        "as_of_microseconds",
        "heard_at",
        "instrument",
        "kept_tail",
        "last_price",
        "origin",
        "previous_close",
        "quoted_at",
        "told_origin",
        "volume",
        "watchers",
        "world",
    )

    def __init__(self, instrument: str) -> None:
        self.instrument = instrument
        self.last_price = 0.0
        self.previous_close: float | None = None
        self.volume: int | None = None
        self.as_of_microseconds = 0
        self.origin = self.told_origin = b""
        self.world: str | None = None
        self.heard_at = -math.inf
        self.quoted_at = -math.inf
        self.watchers: set[Any] = set()
        self.kept_tail: bytes | None = None

    @property
    def has_price(self) -> bool:
        """Say whether any price is known."""
        return self.last_price > 0

    def changed(self) -> None:
        """Say that the fragment must be made anew."""
        self.kept_tail = None

    @property
    def tail(self) -> bytes:
        """Return the fragment after its symbol, as it follows `{"symbol":"X"`."""
        tail = self.kept_tail
        if tail is None:
            tail = self.kept_tail = self._encode()
        return tail

    def _encode(self) -> bytes:
        price, close = self.last_price, self.previous_close
        change = change_percent = "null"
        if close is not None and close > 0:
            change = _number(price - close, MAX_CHANGE_DECIMALS)
            change_percent = _number((price - close) / close * 100, MAX_PERCENT_DECIMALS)
        as_of = rfc3339(0, self.as_of_microseconds)
        fragment = (
            f',"instrument":{json.dumps(self.instrument)},"last_price":{price!r},"change":{change},'
            f'"change_pct":{change_percent},"previous_close":{"null" if close is None else repr(close)},'
            f'"volume":{"null" if self.volume is None else self.volume},"as_of":"{as_of}"'
        )
        return fragment.encode() + self.origin


@dataclass(slots=True)
class Plan:
    """What one query asks for, and its last answer, which holds until the next batch of ticks.

    Attributes:
        heads: each symbol's opening bytes.
        instruments: what each symbol means.
    """

    heads: list[bytes]
    instruments: list[str]
    answer: CacheEntry | None = None
    batches: int = -1
    good_until: float = -math.inf


class Board:
    """The last prices, bounded in number."""

    def __init__(self, clock: Clock, *, max_age_seconds: float, max_instruments: int) -> None:
        self._clock = clock
        self._max_age_seconds = max_age_seconds
        self._max_instruments = max_instruments
        self._entries: dict[str, Entry] = {}
        self._origins: dict[tuple[str, int], bytes] = {}
        self._named: dict[bytes, tuple[str, int]] = {}
        self._sequences: dict[tuple[str, int], tuple[int, int]] = {}
        self._plans: dict[bytes, Plan] = {}
        self.changed: set[Entry] = set()
        self.last_batch_at: float | None = None
        self.batches = 0
        self.ticks = 0
        self.holes = 0
        self.refused = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, instrument: str) -> Entry | None:
        """Return an instrument's entry."""
        return self._entries.get(instrument)

    def is_fresh(self, entry: Entry) -> bool:
        """Say whether an entry's last tick is recent enough for its price to be served as it stands."""
        return self._clock.monotonic() - entry.heard_at < self._max_age_seconds

    async def on_ticks(self, message: Msg) -> None:
        """Take in one message of `ticks.>`."""
        self.apply(ticks_pb2.TickBatch.FromString(message.data))

    def apply(self, batch: ticks_pb2.TickBatch) -> None:
        """Take in a batch: the latest price of each instrument wins."""
        self._note_sequence(batch)
        now = self.last_batch_at = self._clock.monotonic()
        origin = self._origin(batch.source, batch.freshness)
        world = _world_of(batch.source, batch.freshness)
        base = batch.base_time.seconds * MICROSECONDS + batch.base_time.nanos // 1000
        entries, changed = self._entries, self.changed
        for tick in batch.ticks:
            price = tick.last_price
            as_of = base + tick.offset_microseconds
            if not (0 < price < math.inf and 0 <= as_of < END_OF_TIME_MICROSECONDS):
                self.refused += 1
                continue
            entry = entries.get(tick.instrument) or self._place_for(tick.instrument)
            if entry is None:
                self.refused += 1
                continue
            entry.last_price = price
            entry.previous_close = _sound(tick.previous_close) if tick.HasField("previous_close") else None
            entry.volume = tick.volume if tick.HasField("volume") else None
            entry.as_of_microseconds = as_of
            entry.origin = entry.told_origin = origin
            entry.world = world
            entry.heard_at = now
            entry.changed()
            if entry.watchers:
                changed.add(entry)
        self.batches += 1
        self.ticks += len(batch.ticks)

    def adopt(self, quote: quotes_pb2.Quote) -> Entry:
        """Return the entry of a quote's instrument, taking the quote's price unless a later one is known.

        A later one of which nothing was heard for too long is not what it was: market would say it if it were current.

        Raises:
            BoardFull: there is no place for another instrument.
        """
        entry = self.place(quote.instrument)
        origin = quote.provenance
        as_of = origin.as_of.seconds * MICROSECONDS + origin.as_of.nanos // 1000
        world = _world_of(origin.source, origin.freshness)
        is_sound = 0 < quote.last_price < math.inf and 0 <= as_of < END_OF_TIME_MICROSECONDS
        # Moments of two worlds do not compare: a replay's are of other years.
        is_older = world == entry.world and as_of < entry.as_of_microseconds
        if not is_sound or self.is_fresh(entry):
            return entry
        now = self._clock.monotonic()
        if is_older:
            if now - entry.quoted_at >= self._max_age_seconds:
                self._reconsider(entry, is_over=origin.freshness == quotes_pb2.FRESHNESS_CLOSED)
            return entry
        entry.last_price = quote.last_price
        entry.previous_close = _sound(quote.previous_close) if quote.HasField("previous_close") else None
        entry.volume = quote.volume if quote.HasField("volume") else None
        entry.as_of_microseconds = as_of
        entry.origin = entry.told_origin = self._origin(origin.source, origin.freshness)
        entry.world = world
        entry.quoted_at = now
        self._note_change(entry)
        return entry

    def _reconsider(self, entry: Entry, *, is_over: bool) -> None:
        """Judge a price by its age, or by what market says of an earlier one: that the session of both is over."""
        source, freshness = self._named[entry.told_origin]
        age_seconds = self._clock.now().timestamp() - entry.as_of_microseconds / MICROSECONDS
        if (
            is_over
            and freshness in (*GOOD_FOR_SECONDS, quotes_pb2.FRESHNESS_STALE)
            and age_seconds > -LONGEST_AHEAD_SECONDS
        ):
            freshness = quotes_pb2.FRESHNESS_CLOSED
        elif abs(age_seconds) > GOOD_FOR_SECONDS.get(freshness, math.inf):
            freshness = quotes_pb2.FRESHNESS_STALE
        entry.origin = self._origin(source, freshness)
        self._note_change(entry)

    def _note_change(self, entry: Entry) -> None:
        before = entry.kept_tail
        entry.changed()
        # Many who open a stream at once are answered alike; who has one already is told once.
        if entry.watchers and entry.tail != before:
            self.changed.add(entry)

    def place(self, instrument: str) -> Entry:
        """Return an instrument's entry, with or without a price.

        Raises:
            BoardFull: there is no place for another instrument.
        """
        entry = self._entries.get(instrument) or self._place_for(instrument)
        if entry is None:
            raise BoardFull
        return entry

    def answer(self, incoming: Incoming) -> Finished | None:
        """Return the live prices a request asks for; None when the board does not hold every one of them."""
        plan = self._plan(incoming.scope["query_string"])
        if plan is None:
            return None
        now = self._clock.monotonic()
        if plan.batches != self.batches or now >= plan.good_until:
            self._answer_anew(plan, now)
        return finish(plan.answer, incoming, age=0, state=b"HIT") if plan.answer is not None else None

    def _answer_anew(self, plan: Plan, now: float) -> None:
        plan.answer = None
        plan.batches = self.batches
        oldest = now
        fragments = []
        entries = self._entries
        for head, instrument in zip(plan.heads, plan.instruments, strict=True):
            entry = entries.get(instrument)
            if entry is None:
                return
            oldest = min(oldest, entry.heard_at)
            fragments.append(head + (entry.kept_tail or entry.tail))
        plan.good_until = oldest + self._max_age_seconds
        if now >= plan.good_until:
            return
        body = b'{"quotes":[' + b",".join(fragments) + b'],"errors":[]}'
        # Python's own hash is keyed by process and ten times as fast as a digest; a tag need not outlive the process.
        etag = b'"%x"' % (hash(body) & HASH_MASK)
        plan.answer = make_entry(body, JSON_HEADERS, POLICY, now, etag=etag)

    def _plan(self, query: bytes) -> Plan | None:
        plan = self._plans.get(query)
        if plan is not None:
            return plan
        plan = plan_of(query)
        if plan is not None and len(query) <= MAX_PLANNED_QUERY:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[query] = plan
        return plan

    def _place_for(self, instrument: str) -> Entry | None:
        if len(self._entries) >= self._max_instruments and not self._make_room():
            return None
        entry = self._entries[instrument] = Entry(instrument)
        return entry

    def _make_room(self) -> bool:
        forgettable = [name for name, entry in self._entries.items() if not entry.watchers and not self.is_fresh(entry)]
        for name in forgettable:
            del self._entries[name]
        return bool(forgettable)

    def _origin(self, source: str, freshness: int) -> bytes:
        origin = self._origins.get((source, freshness))
        if origin is None:
            origin = self._origins[source, freshness] = _encoded_origin(source, freshness)
            self._named[origin] = (source, freshness)
        return origin

    def _note_sequence(self, batch: ticks_pb2.TickBatch) -> None:
        key = (batch.publisher_id, batch.shard)
        epoch, sequence = self._sequences.get(key, (0, 0))
        if batch.epoch == epoch and batch.sequence > sequence + 1:
            self.holes += 1
            log.warning("ticks lost", extra={"shard": batch.shard, "after": sequence, "before": batch.sequence})
        if len(self._sequences) >= MAX_PUBLISHED_SHARDS:
            self._sequences.clear()
        self._sequences[key] = (batch.epoch, batch.sequence)


def _encoded_origin(source: str, freshness: int) -> bytes:
    name = _FRESHNESS_NAMES.get(freshness)
    return f',"source":{json.dumps(source)},"freshness":{json.dumps(name)}}}'.encode()


def _world_of(source: str, freshness: int) -> str | None:
    return source if freshness == quotes_pb2.FRESHNESS_SIMULATED else None


def _sound(price: float) -> float | None:
    return price if 0 < price < math.inf else None


def _number(value: float, decimals: int) -> str:
    # JSON has no Infinity.
    return repr(rounded(value, decimals)) if math.isfinite(value) else "null"


def head_of(symbol: str) -> bytes:
    """Return the opening bytes of a quote: the symbol as the caller wrote it."""
    return b'{"symbol":' + json.dumps(symbol, ensure_ascii=False).encode()


def instrument_of(symbol: str) -> str:
    """Return the instrument a symbol of the Indian listing means: a bare one is NSE's."""
    upper = symbol.upper()
    return upper if ":" in upper else f"{BARE_EXCHANGE}:{upper}"


def split_symbols(values: Iterable[str]) -> list[str]:
    """Split comma lists into symbols: order kept, duplicates folded, empty ones left out."""
    first: dict[str, str] = {}
    for value in values:
        for symbol in map(str.strip, value.split(",")):
            if symbol:
                first.setdefault(symbol.upper(), symbol)
    return list(first.values())


def plan_of(query: bytes) -> Plan | None:
    """Return what a query asks for; None when it is not plainly one list of good symbols."""
    if not query.startswith(b"symbols=") or b"&" in query or not query.isascii():
        return None
    symbols = split_symbols([unquote_plus(query[8:].decode())])
    if not 0 < len(symbols) <= MAX_QUOTED_SYMBOLS or not all(is_symbol(symbol) for symbol in symbols):
        return None
    return Plan([head_of(symbol) for symbol in symbols], [instrument_of(symbol) for symbol in symbols])
