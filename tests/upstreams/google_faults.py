"""How a key set can be wrong; what any server can do wrong is in `Fault`."""

import json
from collections.abc import Mapping
from typing import Any

from upstreams.faults import ROUND_SECONDS, Answer, Exchange, Fault


def keys(*published: Mapping[str, Any]) -> Fault:
    """Answer with these keys."""
    return Fault.answer(200, json.dumps({"keys": published}).encode())


def redirect(location: str) -> Fault:
    """Send the caller elsewhere, where somebody else's keys might be."""
    return _Redirect(location)


def dripping() -> Fault:
    """Send the body byte by byte, each in good time and the whole of it never."""
    return _Dripping()


def too_long(length: int) -> Fault:
    """Answer with so many bytes, of which the last ones end a good document."""
    return Fault.answer(200, b" " * length + b'{"keys": []}')


class _Redirect(Fault):
    def __init__(self, location: str) -> None:
        self._location = location

    async def play(self, exchange: Exchange) -> None:
        await exchange.reply(Answer(302, "text/html", b"", headers=(("location", self._location),)))


class _Dripping(Fault):
    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.start(answer)
        for position in range(len(answer.body) - 1):
            await exchange.body(answer.body[position : position + 1], is_last=False)
            if not await exchange.pause_seconds(ROUND_SECONDS):
                return
