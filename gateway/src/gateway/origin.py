"""What the headers of an answer say of its prices, where its rows do not: their source, their age, and what is missing.

Headers that are told here are part of the answer: the first-level cache keeps them with it, and marks their freshness
stale as it does in bodies.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Response

from bourse.market.v1 import quotes_pb2 as pb
from gateway.reply import rfc3339, short_names

_FRESHNESS_NAMES = short_names(pb.Freshness.DESCRIPTOR)
_WEAKEST_FIRST = ("simulated", "stale", "closed", "delayed", "live")


def _header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string", **schema}}


ORIGIN_HEADERS = {
    "X-Source": _header("Where the answer comes from; several are separated by commas.", examples=["yahoo"]),
    "X-As-Of": _header("When it was made, the oldest of it; RFC 3339 in UTC.", format="date-time"),
    "X-Freshness": _header(
        "How far it can be relied on to be current, the weakest of it.", enum=list(reversed(_WEAKEST_FIRST))
    ),
}
MISSING_HEADERS = {
    "X-Missing-Symbols": _header(
        "Comma list of the symbols that have no answer, as they were asked for; not there when all have one.",
        examples=["NOPE,GONE"],
    )
}


class AnswerHeaders:
    """The headers of the answer that is being made."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def tell_origin(self, *provenances: pb.Provenance) -> None:
        """Say where an answer comes from; of several origins all sources, the oldest time and the weakest freshness."""
        sources = dict.fromkeys(each.source for each in provenances if each.source)
        moments = [(each.as_of.seconds, each.as_of.nanos) for each in provenances if each.HasField("as_of")]
        known = {_FRESHNESS_NAMES.get(each.freshness) for each in provenances}
        freshness = next((each for each in _WEAKEST_FIRST if each in known), None)
        if sources:
            self._response.headers["X-Source"] = ",".join(sources)
        if moments:
            seconds, nanos = min(moments)
            self._response.headers["X-As-Of"] = rfc3339(seconds, nanos // 1000)
        if freshness is not None:
            self._response.headers["X-Freshness"] = freshness

    def tell_missing(self, missing: Iterable[pb.MissingSymbol]) -> None:
        """Name the symbols that have no answer, if there are any."""
        symbols = [each.symbol for each in missing]
        if symbols:
            self._response.headers["X-Missing-Symbols"] = ",".join(symbols)

    def told(self) -> dict[str, str]:
        """Return what was told, for an answer that the route makes itself."""
        return dict(self._response.headers)


async def _answer_headers(response: Response) -> AnswerHeaders:
    return AnswerHeaders(response)


Headers = Annotated[AnswerHeaders, Depends(_answer_headers)]


def answered(*headers: dict[str, Any], description: str = "Successful Response", **more: Any) -> dict[int | str, Any]:
    """Return the OpenAPI `responses` entry of an answer that carries these headers."""
    merged = {name: header for each in headers for name, header in each.items()}
    return {200: {"description": description, **({"headers": merged} if merged else {}), **more}}
