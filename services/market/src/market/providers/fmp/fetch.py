"""Calls to Financial Modeling Prep's `/stable` over HTTP: counted before they go out, bounded in time, size and number.

The key travels in a header alone. An error of the vendor, also one with a status of success, becomes a refusal that
says why; its own words go no further.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import SecretStr

from market.domain.capabilities import NothingKnown
from market.domain.ports import Budget
from market.domain.source_failures import SourceRefused

Row = Mapping[str, Any]

BASE_URL = "https://financialmodelingprep.com/stable"
CALL_SECONDS = 8.0
CONNECT_SECONDS = 2.0
MAX_BODY_BYTES = 32 * 1024 * 1024
LONG_BODY_BYTES = 64 * 1024
MAX_CALLS_AT_ONCE = 8
ERROR_KEY = "Error Message"
MAX_WORDS_BYTES = 1_000

REFUSES_KEY = "refuses the key"
NOT_SOLD = "does not sell this with the plan of its key"
THROTTLED = "limits how often it may be asked"
UNREADABLE = "answered what cannot be read"
AWAY = "is not answering"
TOO_SLOW = "did not answer in time"

_SENDABLE = re.compile(r"[!-~]+")

# The vendor does not say when to come back. Its limits are by the minute or the day; a plan changes by hand.
THROTTLED_SECONDS = 60.0
NOT_SOLD_SECONDS = 3_600.0

_PROBLEM_OF_STATUS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: REFUSES_KEY,
    HTTPStatus.PAYMENT_REQUIRED: NOT_SOLD,
    HTTPStatus.FORBIDDEN: REFUSES_KEY,
    HTTPStatus.TOO_MANY_REQUESTS: THROTTLED,
}
# What is in the vendor's words, in lower case; they say more than its statuses, of which 403 and 200 mean anything.
_PROBLEM_OF_WORDS = (
    ("limit reach", THROTTLED),
    ("subscription", NOT_SOLD),
    ("premium", NOT_SOLD),
    ("exclusive endpoint", NOT_SOLD),
    ("special endpoint", NOT_SOLD),
    ("legacy endpoint", NOT_SOLD),
    ("invalid api key", REFUSES_KEY),
)
# So it words that the plan lacks one value of a parameter, such as a high limit: it may answer with another.
_ONE_VALUE_NOT_SOLD = "premium query parameter"
# So it words that the plan has the call, but not for this one symbol. Whoever asks for another is answered.
_ONE_SYMBOL_NOT_SOLD = "'symbol'"


class KeyUnusable(ValueError):
    """The key cannot be sent, and whatever tried to would show it in its complaint."""

    def __init__(self) -> None:
        super().__init__(
            "the key of Financial Modeling Prep is no key: it should be letters, digits and signs of ASCII"
        )


@dataclass(frozen=True, slots=True)
class Question:
    """One call: its path under `/stable`, without a slash before it, and its parameters."""

    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def open_client() -> AsyncIterator[httpx.AsyncClient]:
    """Open the HTTP client; it follows no redirect, which could carry the key to another host."""
    timeout = httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=MAX_CALLS_AT_ONCE, max_keepalive_connections=MAX_CALLS_AT_ONCE)
    async with httpx.AsyncClient(timeout=timeout, limits=limits, follow_redirects=False) as client:
        yield client


class FmpApi:
    """The vendor's API.

    Args:
        client: as `open_client` opens it.
        key: the vendor's key.
        budget: counts every call before it goes out.
        base_url: where `/stable` is, with it.
        call_seconds: how long one call may take, from its turn to the last byte.
        max_body_bytes: how long an answer may be, unpacked.

    Raises:
        KeyUnusable: the key is empty, or has blanks or letters that a header cannot carry.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        key: SecretStr,
        budget: Budget,
        base_url: str = BASE_URL,
        call_seconds: float = CALL_SECONDS,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        if _SENDABLE.fullmatch(key.get_secret_value()) is None:
            raise KeyUnusable
        self._client = client
        self._key = key
        self._budget = budget
        self._base_url = base_url.rstrip("/")
        self._call_seconds = call_seconds
        self._max_body_bytes = max_body_bytes
        self._turns = asyncio.Semaphore(MAX_CALLS_AT_ONCE)

    async def ask(self, *questions: Question) -> Sequence[Sequence[Row]]:
        """Return the rows of each answer, in the order asked; all are counted before the first goes out.

        Raises:
            SourceRefused: the budget is spent, or one of them is not answered.
            NothingKnown: the plan of the key has one of these calls for other symbols only.
        """
        if not questions:
            return ()
        await self._budget.take(len(questions))
        tasks = [asyncio.create_task(self._ask(question)) for question in questions]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, question: Question) -> Sequence[Row]:
        try:
            async with self._turns, asyncio.timeout(self._call_seconds):
                status, body = await self._call(question)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise SourceRefused(TOO_SLOW) from error
        except httpx.DecodingError as error:
            raise SourceRefused(UNREADABLE) from error
        except httpx.HTTPError as error:
            raise SourceRefused(AWAY) from error
        # Thousands of rows take long enough to keep everybody else waiting.
        return (
            await asyncio.to_thread(read_rows, status, body) if len(body) > LONG_BODY_BYTES else read_rows(status, body)
        )

    async def _call(self, question: Question) -> tuple[int, bytes]:
        url, headers = f"{self._base_url}/{question.path}", {"apikey": self._key.get_secret_value()}
        async with self._client.stream("GET", url, params=question.parameters, headers=headers) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > self._max_body_bytes:
                    raise SourceRefused(UNREADABLE)
        return response.status_code, bytes(body)


def read_rows(status: int, body: bytes) -> Sequence[Row]:
    """Return the rows of an answer; what is no row is left out.

    Raises:
        SourceRefused: it is an error, or nothing that can be read.
        NothingKnown: the plan of the key has the call, but not for this symbol.
    """
    document = _document(body)
    if status == HTTPStatus.OK and isinstance(document, list):
        return [row for row in document if isinstance(row, dict)]
    words = _words(status, body, document)
    if status == HTTPStatus.PAYMENT_REQUIRED and _ONE_SYMBOL_NOT_SOLD in words:
        raise NothingKnown("its plan does not have this symbol")
    raise _refusal(_problem(status, words.lower()), words.lower())


def _refusal(problem: str, words: str) -> SourceRefused:
    """Return a refusal that says what else is refused, and for how long."""
    if problem == THROTTLED:
        return SourceRefused(problem, retry_after_seconds=THROTTLED_SECONDS, opens_at_once=True)
    if problem != NOT_SOLD:
        return SourceRefused(problem)
    if _ONE_VALUE_NOT_SOLD in words:
        return SourceRefused(problem, is_of_capability=True)
    return SourceRefused(problem, retry_after_seconds=NOT_SOLD_SECONDS, is_of_capability=True, opens_at_once=True)


def _words(status: int, body: bytes, document: Any) -> str:
    """Return what the vendor says is wrong; empty when it says nothing, as a page does, or half an answer."""
    if isinstance(document, dict) and isinstance(document.get(ERROR_KEY), str):
        return str(document[ERROR_KEY])
    is_text = status != HTTPStatus.OK and not body.lstrip().startswith(b"<")
    return body[:MAX_WORDS_BYTES].decode(errors="replace") if is_text else ""


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _problem(status: int, words: str) -> str:
    by_words = next((problem for said, problem in _PROBLEM_OF_WORDS if said in words), None)
    if by_words is not None:
        return by_words
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return AWAY
    return _PROBLEM_OF_STATUS.get(status, UNREADABLE)
