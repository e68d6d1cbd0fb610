"""What can go wrong with a vendor, and the switchboard that says when it does.

    kite.faults.next("/portfolio/holdings", Fault.slow(3))
    kite.faults.always("/portfolio/holdings", Fault.hang(), api_key="one user's")
    kite.faults.clear()

A path matches when a request's ends with it; `*` matches every path.
"""

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

EVERY_PATH = "*"
JSON_TYPE = "application/json"
ROUND_SECONDS = 0.02
CUT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    content_type: str
    body: bytes
    cookie: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Exchange:
    """One request on its way to an answer; a fault decides what becomes of it."""

    def __init__(
        self,
        answer: Callable[[], Awaitable[Answer]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
        *,
        client_left: asyncio.Future[Any],
        is_stopping: Callable[[], bool],
    ) -> None:
        self.answer = answer
        self._send = send
        self._client_left = client_left
        self._is_stopping = is_stopping

    async def start(self, answer: Answer) -> None:
        """Send the head of an answer, which promises its whole length."""
        headers = [(b"content-type", answer.content_type.encode()), (b"content-length", b"%d" % len(answer.body))]
        if answer.cookie is not None:
            headers.append((b"set-cookie", answer.cookie.encode()))
        headers += [(name.encode(), value.encode()) for name, value in answer.headers]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})

    async def body(self, part: bytes, *, is_last: bool = True) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": part, "more_body": not is_last})

    async def reply(self, answer: Answer) -> None:
        """Send a whole answer."""
        await self.start(answer)
        await self.body(answer.body)

    async def cut(self) -> None:
        """Close the connection without another byte; uvicorn's `send` belongs to what holds the transport."""
        cast("Any", self._send).__self__.transport.abort()
        await asyncio.wait([self._client_left], timeout=CUT_SECONDS)

    async def pause(self, is_enough: Callable[[], bool]) -> bool:
        """Wait; say whether it was enough. When client or server leave first, the connection is cut."""
        while not is_enough():
            if self._client_left.done() or self._is_stopping():
                await self.cut()
                return False
            await asyncio.sleep(ROUND_SECONDS)
        return True

    async def pause_seconds(self, seconds: float) -> bool:
        """Wait so long; say whether client and server are still there."""
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        return await self.pause(lambda: clock() >= end)


class Fault(ABC):
    """One thing that goes wrong; the static methods make them."""

    @abstractmethod
    async def play(self, exchange: Exchange) -> None:
        """Answer, or not, as a vendor with this fault does."""

    @staticmethod
    def slow(seconds: float) -> "Fault":
        """Answer properly, but only after so long."""
        return _Slow(seconds)

    @staticmethod
    def held(gate: threading.Event) -> "Fault":
        """Answer properly, but only when the test sets the gate."""
        return _Held(gate)

    @staticmethod
    def hang() -> "Fault":
        """Accept and never answer."""
        return _Hang()

    @staticmethod
    def reset() -> "Fault":
        """Close the connection without an answer."""
        return _Reset()

    @staticmethod
    def half_open() -> "Fault":
        """Send the head and half of the body, then nothing more, with the connection left open."""
        return _Half(leaves_open=True)

    @staticmethod
    def drop() -> "Fault":
        """Close the connection in the middle of the body."""
        return _Half(leaves_open=False)

    @staticmethod
    def answer(status: int, body: bytes, content_type: str = JSON_TYPE) -> "Fault":
        """Answer with anything."""
        return _Canned(Answer(status, content_type, body))

    @staticmethod
    def empty(status: int = 200) -> "Fault":
        """Answer with no body at all."""
        return Fault.answer(status, b"")

    @staticmethod
    def html(status: int = 200) -> "Fault":
        """Answer with a page where JSON should be, as proxies and maintenance pages do."""
        return Fault.answer(status, b"<html><body><h1>We will be back</h1></body></html>", "text/html; charset=utf-8")

    @staticmethod
    def server_error(status: int = 503) -> "Fault":
        """Answer 500, 502 or 503 as what stands in front of a vendor does."""
        return Fault.html(status)

    @staticmethod
    def kite_error(status: int, error_type: str, message: str) -> "Fault":
        """Answer with Kite's error envelope."""
        return Fault.answer(status, kite_error(error_type, message))

    @staticmethod
    def throttled() -> "Fault":
        """Answer 429 as Kite does."""
        return Fault.kite_error(429, "NetworkException", "Too many requests")

    @staticmethod
    def token_exception() -> "Fault":
        """Answer 403 as Kite does to a token that has died."""
        return Fault.kite_error(403, "TokenException", "Incorrect `api_key` or `access_token`.")

    @staticmethod
    def breeze_error(status: int, message: str) -> "Fault":
        """Answer with Breeze's error envelope, which is always HTTP 200."""
        return Fault.answer(200, json.dumps({"Success": None, "Status": status, "Error": message}).encode())

    @staticmethod
    def breeze_throttled() -> "Fault":
        """Answer as Breeze does beyond 100 calls a minute."""
        return Fault.breeze_error(429, "Limit exceed: API call per minute:")

    @staticmethod
    def truncated() -> "Fault":
        """Answer with the first half of the JSON, as if that were all."""
        return _Rewritten(lambda body: body[: len(body) // 2])

    @staticmethod
    def wrong_types() -> "Fault":
        """Answer in the right shape with values of other types: numbers are words, words are objects."""
        return _Rewritten(_with_wrong_types)

    @staticmethod
    def missing_keys(*names: str) -> "Fault":
        """Answer without these keys at any depth; without any name, without the envelope's own."""
        return _Rewritten(lambda body: _without_keys(body, set(names)))


def kite_error(error_type: str, message: str) -> bytes:
    """Write Kite's error envelope."""
    return json.dumps({"status": "error", "message": message, "data": None, "error_type": error_type}).encode()


class _Slow(Fault):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def play(self, exchange: Exchange) -> None:
        if await exchange.pause_seconds(self._seconds):
            await exchange.reply(await exchange.answer())


class _Held(Fault):
    def __init__(self, gate: threading.Event) -> None:
        self._gate = gate

    async def play(self, exchange: Exchange) -> None:
        if await exchange.pause(self._gate.is_set):
            await exchange.reply(await exchange.answer())


class _Hang(Fault):
    async def play(self, exchange: Exchange) -> None:
        await exchange.pause(lambda: False)


class _Reset(Fault):
    async def play(self, exchange: Exchange) -> None:
        await exchange.cut()


class _Half(Fault):
    def __init__(self, *, leaves_open: bool) -> None:
        self._leaves_open = leaves_open

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.start(answer)
        await exchange.body(answer.body[: len(answer.body) // 2], is_last=False)
        if self._leaves_open:
            await exchange.pause(lambda: False)
        # A server whose application returns before it is done closes the connection.


class _Canned(Fault):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def play(self, exchange: Exchange) -> None:
        await exchange.reply(self._answer)


class _Rewritten(Fault):
    def __init__(self, rewrite: Callable[[bytes], bytes]) -> None:
        self._rewrite = rewrite

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.reply(replace(answer, body=self._rewrite(answer.body)))


def _with_wrong_types(body: bytes) -> bytes:
    envelope = json.loads(body)
    changed = {key: _mistyped(value) if key in {"data", "Success"} else value for key, value in envelope.items()}
    return json.dumps(changed).encode()


def _mistyped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mistyped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mistyped(inner) for inner in value]
    if isinstance(value, str):
        return {"unexpected": value}
    return "unexpected"


def _without_keys(body: bytes, names: set[str]) -> bytes:
    if not names:
        return b'{"unexpected": true}'
    return json.dumps(_pruned(json.loads(body), names)).encode()


def _pruned(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(inner, names) for key, inner in value.items() if key not in names}
    if isinstance(value, list):
        return [_pruned(inner, names) for inner in value]
    return value


@dataclass(slots=True)
class _Rule:
    path: str
    fault: Fault
    api_key: str | None
    times_left: int | None

    def is_for(self, path: str, api_key: str | None) -> bool:
        is_path = self.path == EVERY_PATH or path.endswith(self.path)
        return is_path and self.api_key in {None, api_key} and self.times_left != 0


class Faults:
    """Which faults come next; set from any thread. The rule set first wins."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def next(self, path: str, fault: Fault, *, api_key: str | None = None, times: int = 1) -> None:
        """Let the next requests fail.

        Args:
            path: how a request's path ends, or `*`.
            fault: what goes wrong.
            api_key: whose requests; None means everybody's.
            times: how many requests.
        """
        self._add(_Rule(path, fault, api_key, times))

    def always(self, path: str, fault: Fault, *, api_key: str | None = None) -> None:
        """Let all requests fail until `clear`; arguments as of `next`."""
        self._add(_Rule(path, fault, api_key, None))

    def clear(self) -> None:
        """Let everything go well again; a request that hangs already goes on hanging."""
        with self._lock:
            self._rules.clear()

    def take(self, path: str, api_key: str | None) -> Fault | None:
        """Return what goes wrong with this request, and count it; None when nothing does."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.is_for(path, api_key)), None)
            if rule is None:
                return None
            if rule.times_left is not None:
                rule.times_left -= 1
            return rule.fault

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)
