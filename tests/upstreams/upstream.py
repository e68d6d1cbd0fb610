"""A vendor's HTTP application with a fault switchboard and a journal in front of it."""

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from upstreams.faults import JSON_TYPE, Answer, Exchange, Faults
from upstreams.journal import Journal, remembered

Message = MutableMapping[str, Any]
KEPT_HEADERS = frozenset({"cache-control", "age"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request, read to its end."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """Return the fields of an urlencoded body."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    @property
    def document(self) -> dict[str, Any]:
        """Return a JSON body's object; empty when it is none."""
        try:
            document = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}


class Upstream(ABC):
    """An ASGI application that plays a vendor, well or badly.

    Attributes:
        faults: what goes wrong next.
        journal: what was asked.
    """

    def __init__(self, app: Starlette) -> None:
        self.faults = Faults()
        self.journal = Journal()
        self._app = app
        self._stopping = threading.Event()

    @abstractmethod
    def api_key_of(self, call: Call) -> str | None:
        """Say whose request it is; None when it does not say."""

    def begin(self) -> None:
        """Serve."""
        self._stopping.clear()

    def end(self) -> None:
        """Let go of the requests that hang."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        call = _call(scope, await _whole_body(receive))
        api_key = self.api_key_of(call)
        request = remembered(call.method, call.path, query=call.query, headers=call.headers, api_key=api_key)
        fault = self.faults.take(call.path, api_key)
        with self.journal.record(request):
            client = asyncio.ensure_future(receive())
            exchange = Exchange(
                lambda: self._answer(scope, call.body), send, client_left=client, is_stopping=self._stopping.is_set
            )
            try:
                await (fault.play(exchange) if fault else exchange.reply(await exchange.answer()))
            finally:
                client.cancel()

    async def _answer(self, scope: Scope, body: bytes) -> Answer:
        """Ask the application itself."""
        parts: list[Message] = []
        question: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return question.pop() if question else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            parts.append(message)

        await self._app(dict(scope), receive, send)
        head = {name.decode(): value.decode() for name, value in parts[0]["headers"]}
        whole = b"".join(part.get("body", b"") for part in parts[1:])
        kept = tuple((name, value) for name, value in head.items() if name in KEPT_HEADERS)
        return Answer(parts[0]["status"], head.get("content-type", JSON_TYPE), whole, head.get("set-cookie"), kept)


async def _whole_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _call(scope: Scope, body: bytes) -> Call:
    return Call(
        method=scope["method"],
        path=scope["path"],
        query=parse_qsl(scope["query_string"].decode(), keep_blank_values=True),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
        body=body,
    )
