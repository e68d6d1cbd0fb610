"""The first-level cache: finished bytes of public reads, by path and query, for as long as the service said.

A service says so in the metadata of its reply (`cache-control`); only routes marked `CACHED` enter. One flight at a
time fetches an answer, in a task of its own, so that a reader who leaves cancels nobody. What is past its time is
served while it is fetched anew (stale-while-revalidate) and, marked so, while fetching fails (stale-if-error).
"""

import asyncio
import json
import logging
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, urlencode

from chassis.clock import Clock
from chassis.logs import request_id
from chassis.tasks import end
from gateway.admission import FLIGHTS_BUSY, Overloaded
from gateway.errors import UpstreamTimedOut, envelope
from gateway.wire import JSON, SECURITY_HEADERS, Application, Finished, Header, Incoming, Message, Scope

log = logging.getLogger(__name__)

CACHED: dict[str, Any] = {"openapi_extra": {"x-cached": True}}
"""Route arguments that let a route's answers be kept."""

MIN_COMPRESSED_BYTES = 1024
MIN_THREADED_BYTES = 128 * 1024
MAX_ALIASES = 16_384
MAX_ALIAS_LENGTH = 1024
MAX_QUERY_FIELDS = 100
RETRY_SECONDS = 1.0
FLIGHT_TIMEOUT_SECONDS = 30.0
COMPRESSION_LEVEL = 4
CACHEABLE_STATUS = 200
FIRST_ERROR_STATUS = 500
DROPPED_HEADERS = frozenset({b"content-length", b"cache-control", b"etag", b"vary", b"age", b"x-cache"})
DROPPED_REQUEST_HEADERS = frozenset(
    {b"authorization", b"cookie", b"if-none-match", b"if-modified-since", b"accept-encoding", b"range"}
)

_NO_GZIP = re.compile(rb"gzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)")
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIRECTIVE = re.compile(r"([a-z-]+)(?:=(\d+))?")
_FRESHNESS = re.compile(rb'"freshness":"(?:live|delayed)"')
_FRESHNESS_HEADER = b"x-freshness"
_CURRENT = frozenset({b"live", b"delayed"})


class UnsafeHeader(ValueError):
    """A header that would break out of its line."""

    def __init__(self, name: bytes) -> None:
        super().__init__(f"header {name!r} holds a control character")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a `cache-control` value allows; all times in seconds."""

    text: str
    max_age: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0


def parse_policy(text: str) -> Policy | None:
    """Read a `cache-control` value; None when it allows no keeping."""
    directives = {name: int(value or 0) for name, value in _DIRECTIVE.findall(text.lower())}
    if not directives.get("max-age") or not directives.keys().isdisjoint({"no-store", "no-cache", "private"}):
        return None
    return Policy(
        text,
        directives["max-age"],
        directives.get("stale-while-revalidate", 0),
        directives.get("stale-if-error", 0),
    )


class PolicyNote:
    """Where a call to a service notes what its reply's metadata says about keeping it."""

    __slots__ = ("policy",)

    def __init__(self) -> None:
        self.policy: Policy | None = None


policy_note: ContextVar[PolicyNote | None] = ContextVar("policy_note", default=None)


@dataclass(frozen=True, slots=True)
class Representation:
    """One encoding of an answer: what never changes of its headers, and its bytes."""

    etag: bytes
    headers: list[Header]
    body: bytes


@dataclass(slots=True)
class Entry:
    """A kept answer."""

    plain: Representation
    policy: Policy
    media_headers: list[Header]
    stored_at: float
    is_marked_stale: bool = False
    retry_at: float = 0.0
    _compressed: Representation | None = None

    def size_under(self, key: str) -> int:
        """Return about how much memory the entry takes under a key, its compressed twin included."""
        head = sum(len(name) + len(value) for name, value in self.media_headers)
        return 2 * (len(self.plain.body) + head) + len(key) + 1024

    @property
    def servable_seconds(self) -> float:
        """Return up to which age the entry may be given to a reader without asking first."""
        beyond = self.policy.stale_if_error if self.is_marked_stale else self.policy.stale_while_revalidate
        return self.policy.max_age + beyond

    def compressed(self) -> Representation:
        """Return the gzip encoding, made when it is first asked for."""
        if self._compressed is None:
            body = gzipped(self.plain.body)
            etag = self.plain.etag[:-1] + b'-gzip"'
            encoding: Header = (b"content-encoding", b"gzip")
            self._compressed = _represent(body, etag, [*self.media_headers, encoding], self.policy)
        return self._compressed


def gzipped(body: bytes) -> bytes:
    """Compress, the same bytes for the same body at any time."""
    compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def accepts_gzip(headers: Mapping[bytes, bytes]) -> bool:
    """Say whether a client takes gzip."""
    accepted = headers.get(b"accept-encoding")
    return accepted is not None and b"gzip" in accepted and not (b"q=" in accepted and _NO_GZIP.search(accepted))


def matches_etag(headers: Mapping[bytes, bytes], etag: bytes) -> bool:
    """Say whether a client has this representation already."""
    known = headers.get(b"if-none-match")
    if known is None:
        return False
    return known in (etag, b"*") or any(part.strip().removeprefix(b"W/") == etag for part in known.split(b","))


def etag_of(body: bytes) -> bytes:
    """Return a strong entity tag."""
    return b'"%s"' % blake2b(body, digest_size=12).hexdigest().encode()


def _represent(body: bytes, etag: bytes, media_headers: list[Header], policy: Policy) -> Representation:
    for name, value in media_headers:
        if _UNSAFE.search(name + value):
            raise UnsafeHeader(name)
    headers: list[Header] = [
        *media_headers,
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", policy.text.encode()),
        (b"etag", etag),
        (b"vary", b"accept-encoding"),
        *SECURITY_HEADERS,
    ]
    return Representation(etag, headers, body)


def make_entry(
    body: bytes, media_headers: list[Header], policy: Policy, stored_at: float, *, etag: bytes | None = None
) -> Entry:
    """Return an entry for a body, under a strong entity tag of its bytes unless one is given.

    Raises:
        UnsafeHeader: a header would break out of its line.
    """
    return Entry(_represent(body, etag or etag_of(body), media_headers, policy), policy, media_headers, stored_at)


def finish(entry: Entry, incoming: Incoming, *, age: float, state: bytes) -> Finished:
    """Return the answer a client gets from an entry: compressed when asked for, 304 when it has it already."""
    is_compressed = len(entry.plain.body) >= MIN_COMPRESSED_BYTES and accepts_gzip(incoming.headers)
    representation = entry.compressed() if is_compressed else entry.plain
    tail: list[Header] = [(b"age", b"%d" % age), (b"x-cache", state)]
    if matches_etag(incoming.headers, representation.etag):
        kept = [header for header in representation.headers if not header[0].startswith(b"content-")]
        return Finished(304, kept + tail, b"")
    return Finished(200, representation.headers + tail, representation.body)


@dataclass(frozen=True, slots=True)
class Captured:
    """What the application answered."""

    status: int
    headers: list[Header]
    body: bytes


class _Capture:
    """Stands in for a client: keeps what the application sends."""

    def __init__(self) -> None:
        self._status = 500
        self._headers: list[Header] = []
        self._chunks: list[bytes] = []

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = list(message.get("headers", []))
        else:
            self._chunks.append(message.get("body", b""))

    def result(self) -> Captured:
        return Captured(self._status, self._headers, b"".join(self._chunks))


Parameters = Callable[[str], tuple[str, frozenset[str]] | None]


class HttpCache:
    """Keeps finished answers within a byte bound; the least recently used goes first.

    Args:
        app: what is asked for an answer that is not kept.
        parameters: tells for a path its plain form and the query names it reads; None when it is not kept. A query with
            any other name is not kept either: its route says what it takes.
        max_bytes: how much memory the answers may take.
        max_flights: how many answers may be fetched at once; readers who leave do not end the flights they began.
    """

    def __init__(
        self, app: Application, parameters: Parameters, *, max_bytes: int, max_flights: int, clock: Clock
    ) -> None:
        self._app = app
        self._parameters = parameters
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_flights = max_flights
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._aliases: dict[tuple[str, bytes], str] = {}
        self._flights: dict[str, asyncio.Task[Entry | Captured]] = {}
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0
        self.stale = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def flights(self) -> int:
        """Return how many answers are being fetched."""
        return len(self._flights)

    def is_warm(self, path: str) -> bool:
        """Say whether a path's answer is kept and within its time."""
        entry = self._entries.get(path)
        return entry is not None and self._clock.monotonic() < entry.stored_at + entry.policy.max_age

    def key_of(self, path: str, query: bytes) -> str | None:
        """Return the key of a request; None when its path is not kept, or not with such a query."""
        known = self._aliases.get((path, query))
        if known is not None:
            return known
        found = self._parameters(path)
        if found is None:
            return None
        plain_path, names = found
        normalised = _normalised(query, names)
        if normalised is None:
            return None
        # A path comes decoded: a question mark that it holds must not pass for the one before a query.
        plain_path = plain_path.replace("%", "%25").replace("?", "%3F")
        key = f"{plain_path}?{normalised}" if normalised else plain_path
        if len(path) + len(query) <= MAX_ALIAS_LENGTH:
            if len(self._aliases) >= MAX_ALIASES:
                self._aliases.clear()
            self._aliases[path, query] = key
        return key

    def answer(self, incoming: Incoming) -> Finished | None:
        """Return the kept answer to a request, starting a flight when it is due; None when there is none to give."""
        scope = incoming.scope
        key = self._aliases.get((scope["path"], scope["query_string"]))
        return self._ready(key, incoming) if key is not None else None

    async def fetch(self, key: str, incoming: Incoming) -> Finished:
        """Return the answer to a request, kept or not: one flight for all who wait for the same.

        Raises:
            Overloaded: it is not kept, and as many others are being fetched as may be.
        """
        ready = self._ready(key, incoming)
        if ready is not None:
            return ready
        self.misses += 1
        flight = self._flight(key, incoming)
        if flight is None:
            raise Overloaded(FLIGHTS_BUSY)
        result = await asyncio.shield(flight)
        if isinstance(result, Entry):
            age = max(0.0, self._clock.monotonic() - result.stored_at)
            return finish(result, incoming, age=age, state=b"STALE" if result.is_marked_stale else b"MISS")
        return _pass_on(result, incoming)

    def _ready(self, key: str, incoming: Incoming) -> Finished | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock.monotonic()
        age = now - entry.stored_at
        if age < entry.policy.max_age and not entry.is_marked_stale:
            self._entries.move_to_end(key)
            self.hits += 1
            return finish(entry, incoming, age=age, state=b"HIT")
        if age >= entry.servable_seconds:
            return None
        if now >= entry.retry_at:
            self._flight(key, incoming)
        self.stale += 1
        return finish(entry, incoming, age=age, state=b"STALE")

    async def close(self) -> None:
        """Give up what is in flight."""
        await end(*self._flights.values())

    def _flight(self, key: str, incoming: Incoming) -> asyncio.Task[Entry | Captured] | None:
        flight = self._flights.get(key)
        if flight is None and len(self._flights) < self._max_flights:
            flight = asyncio.create_task(self._fly(key, incoming), name=f"flight {key}")
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return flight

    async def _fly(self, key: str, incoming: Incoming) -> Entry | Captured:
        # The task has a context of its own: what is set here ends with it.
        request_id.set(incoming.request_id.decode())
        note = PolicyNote()
        policy_note.set(note)
        captured = await self._ask(key, incoming.scope)
        kept = self._entries.get(key)
        if captured.status >= FIRST_ERROR_STATUS and kept is not None:
            return self._hold(key, kept, captured)
        if captured.status != CACHEABLE_STATUS or note.policy is None:
            self._forget(key)
            return captured
        media_headers = [header for header in captured.headers if header[0].lower() not in DROPPED_HEADERS]
        entry = make_entry(captured.body, media_headers, note.policy, self._clock.monotonic())
        if len(captured.body) >= MIN_THREADED_BYTES:
            await asyncio.to_thread(entry.compressed)
        self._keep(key, entry)
        return entry

    async def _ask(self, key: str, scope: Scope) -> Captured:
        headers = [header for header in scope["headers"] if header[0] not in DROPPED_REQUEST_HEADERS]
        request = {**scope, "method": "GET", "headers": headers, "state": {}}
        capture = _Capture()
        try:
            async with asyncio.timeout(FLIGHT_TIMEOUT_SECONDS) as limit:
                await self._app(request, capture.receive, capture.send)
        except Exception:
            # The outermost frame of the flight's task; the application has answered 500 before it raised.
            log.exception("flight failed", extra={"key": key})
        # What was answered by then is cut off, or nothing.
        return _timed_out() if limit.expired() else capture.result()

    def _hold(self, key: str, kept: Entry, failed: Captured) -> Entry | Captured:
        now = self._clock.monotonic()
        if now - kept.stored_at >= kept.policy.max_age + kept.policy.stale_if_error:
            return failed
        if not kept.is_marked_stale:
            log.warning("serving stale", extra={"key": key, "status": failed.status})
            body = _FRESHNESS.sub(b'"freshness":"stale"', kept.plain.body)
            kept = make_entry(body, _marked_stale(kept.media_headers), kept.policy, kept.stored_at)
            kept.is_marked_stale = True
            self._keep(key, kept)
        kept.retry_at = now + RETRY_SECONDS
        return kept

    def _keep(self, key: str, entry: Entry) -> None:
        self._forget(key)
        size = entry.size_under(key)
        if size > self._max_bytes:
            return
        self._entries[key] = entry
        self.size_bytes += size
        while self.size_bytes > self._max_bytes:
            oldest, evicted = self._entries.popitem(last=False)
            self.size_bytes -= evicted.size_under(oldest)

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_under(key)


def _timed_out() -> Captured:
    error = UpstreamTimedOut()
    return Captured(error.status, [(b"content-type", JSON)], envelope(error.status, error.code, error.detail))


def _marked_stale(headers: list[Header]) -> list[Header]:
    return [
        (name, b"stale") if name.lower() == _FRESHNESS_HEADER and value in _CURRENT else (name, value)
        for name, value in headers
    ]


def _normalised(query: bytes, names: frozenset[str]) -> str | None:
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return None
    if not names.issuperset(name for name, _ in pairs):
        return None
    return urlencode(sorted(pairs, key=lambda pair: pair[0]))


def _pass_on(captured: Captured, incoming: Incoming) -> Finished:
    """Give a reader an answer that is not kept; an error's body names the reader's own request."""
    body = captured.body
    if captured.status != CACHEABLE_STATUS:
        error = json.loads(body)
        error["request_id"] = incoming.request_id.decode()
        body = json.dumps(error, ensure_ascii=False).encode()
    headers = [header for header in captured.headers if header[0].lower() != b"content-length"]
    headers += [(b"content-length", b"%d" % len(body)), *SECURITY_HEADERS]
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))
    return Finished(captured.status, headers, body)
