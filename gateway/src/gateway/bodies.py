"""Reads request bodies: bounded in size and time, JSON objects only, and strictly JSON.

Refused beside what no JSON parser takes: NaN and Infinity, a name given twice, nesting beyond any use, text that is not
UTF-8 or holds control characters. Numbers with a point become `Decimal`, so that a price is what was written.
"""

import asyncio
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine
from decimal import Decimal, InvalidOperation
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gateway.errors import BodyEncoded, BodyTimedOut, BodyTooLarge, InvalidRequest, UnsupportedMediaType
from gateway.queries import check_names, query_names, takes_any_names
from gateway.security import needs_caller, needs_owner, require_caller, require_owner
from gateway.wire import Message, Receive, incoming_of

MAX_DEPTH = 16
MAX_NUMBER_LENGTH = 64
MAX_LENGTH_DIGITS = 20
MAX_SEPARATORS = 10_000
CLIENT_LEFT = 499
"""What some servers log for it; nobody is there to see the answer."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# RFC 6838 §4.2: what a name may hold.
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9][a-z0-9!#$&^_.+-]*\+)?json")


class StrictJsonRequest(Request):
    """A request whose body is read under the gateway's rules."""

    async def body(self) -> bytes:
        """Return the body, at most GATEWAY_MAX_BODY_BYTES of it.

        Raises:
            BodyTooLarge: there is more.
            BodyTimedOut: it did not arrive in time.
            UnsupportedMediaType: there is a body, and it is not declared to be JSON.
            BodyEncoded: there is a body, and it is declared to be compressed.
        """
        if not hasattr(self, "_body"):
            settings = self.app.state.settings
            self._body = await read_bounded(
                self, settings.gateway_max_body_bytes, settings.gateway_body_timeout_seconds
            )
            if self._body and not _is_json(self.headers.get("content-type", "")):
                raise UnsupportedMediaType
            if self._body and not _is_plain(self.headers.getlist("content-encoding")):
                raise BodyEncoded
        return self._body

    async def json(self) -> Any:
        """Return the body's JSON object.

        Raises:
            InvalidRequest: it is not one, or breaks a rule.
        """
        if not hasattr(self, "_json"):
            self._json = parse_object(await self.body())
        return self._json


async def read_bounded(request: Request, limit_bytes: int, timeout_seconds: float) -> bytes:
    """Return a body of any type.

    Raises:
        BodyTooLarge: there is more.
        BodyTimedOut: it did not arrive in time.
    """
    declared = request.headers.get("content-length", "").lstrip("0")
    # Python reads no number of thousands of digits, and no body that long is read either.
    if declared.isdecimal() and (len(declared) > MAX_LENGTH_DIGITS or int(declared) > limit_bytes):
        raise BodyTooLarge(limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise BodyTooLarge(limit_bytes)
    except TimeoutError as error:
        raise BodyTimedOut(timeout_seconds) from error
    return bytes(body)


async def skip_body(request: Request, limit_bytes: int) -> None:
    """Read a body of any type and forget it, for a route to which somebody else's standard brings one.

    Raises:
        BodyTooLarge: it is larger.
        BodyTimedOut: it did not arrive in time.
    """
    await read_bounded(request, limit_bytes, request.app.state.settings.gateway_body_timeout_seconds)


class StrictRoute(APIRoute):
    """A route that reads its body as a `StrictJsonRequest`, a protected one only for a signed-in caller.

    One whose path names a user is for that user: for anybody else nothing further is looked at. Its query has the names
    that it reads, each once, and no others, unless it depends on `ANY_NAMES`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler, which reads the body before it looks at who is asking."""
        handle = super().get_route_handler()
        is_protected, is_owned = needs_caller(self.dependant), needs_owner(self.dependant)
        names, takes_any = query_names(self.dependant), takes_any_names(self.dependant)

        async def handle_strictly(request: Request) -> Response:
            if is_protected:
                caller = require_caller(incoming_of(request.scope))
                if is_owned:
                    require_owner(caller, request.path_params["user_id"])
            if request.scope["query_string"]:
                given = (name for name, _ in request.query_params.multi_items())
                check_names(given, names, takes_any=takes_any)
            return await handle(StrictJsonRequest(request.scope, request.receive))

        return handle_strictly


class AbandonableRoute(StrictRoute):
    """A route that reads a body and whose work, unlike others', is given up when the client leaves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler, which finishes whether or not anybody waits."""
        handle = super().get_route_handler()

        async def handle_while_awaited(request: Request) -> Response:
            body = _WatchedBody(request.receive)
            answering = asyncio.create_task(handle(Request(request.scope, body)), name="answering")
            leaving = asyncio.create_task(body.until_client_leaves(), name="client leaving")
            try:
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                return answering.result() if answering.done() else Response(status_code=CLIENT_LEFT)
            finally:
                answering.cancel()
                leaving.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)

        return handle_while_awaited


class _WatchedBody:
    """Receives a request's body for its reader, and only after it looks whether the client leaves."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_read = asyncio.Event()

    async def __call__(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):
            self._is_read.set()
        return message

    async def until_client_leaves(self) -> None:
        await self._is_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object under the gateway's rules.

    Raises:
        InvalidRequest: it is none, or breaks a rule.
    """
    if body.count(b",") > MAX_SEPARATORS:
        # Each value costs as much as many bytes of text, and nobody else is served meanwhile.
        raise InvalidRequest(f"The body has more than {MAX_SEPARATORS:,} commas")
    if body.startswith(BOM_UTF8):
        raise InvalidRequest("The body begins with a byte order mark; send it without")
    try:
        parsed = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_decimal,
            parse_int=_integer,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise _too_deep() from error
    if not isinstance(parsed, dict):
        raise InvalidRequest("The body must be a JSON object")
    _check(parsed, 1)
    return parsed


def _is_json(content_type: str) -> bool:
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    charset = parameters.lower().replace(" ", "").replace('"', "")
    is_json = _JSON_TYPE.fullmatch(media_type) is not None
    return is_json and ("charset=" not in charset or "charset=utf-8" in charset)


def _is_plain(encodings: list[str]) -> bool:
    return all(each.strip().lower() in ("", "identity") for text in encodings for each in text.split(","))


def _refuse_constant(name: str) -> Any:
    raise InvalidRequest(f"The body is not JSON: {name} is no JSON number")


def _decimal(text: str) -> Decimal:
    _check_length(text)
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise InvalidRequest("The body has a number whose exponent is beyond any use") from error


def _integer(text: str) -> int:
    _check_length(text)
    return int(text)


def _check_length(text: str) -> None:
    if len(text) > MAX_NUMBER_LENGTH:
        raise InvalidRequest(f"The body has a number of more than {MAX_NUMBER_LENGTH} characters")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise InvalidRequest("The body gives a name twice in one object")
    return parsed


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested more than {MAX_DEPTH} levels deep")


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _check(member, depth + 1)


def _check_text(text: str) -> None:
    # One search a text: looking at each character in turn would hold up everybody else for a large body.
    if _CONTROL_CHARACTER.search(text):
        raise InvalidRequest("The body has a control character in a text")
    if _SURROGATE.search(text):
        raise InvalidRequest("The body has half a surrogate pair in a text")
