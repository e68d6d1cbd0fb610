from typing import Any

import pytest
from fastapi import Response

from bourse.market.v1 import quotes_pb2 as pb
from fakes.other_market import AS_OF_SECONDS, origin
from gateway.edge import EXPOSED_HEADERS
from gateway.origin import MISSING_HEADERS, ORIGIN_HEADERS, AnswerHeaders, answered


@pytest.fixture
def headers() -> AnswerHeaders:
    response = Response()
    del response.headers["content-length"]
    return AnswerHeaders(response)


def test_an_origin_is_told_in_three_headers(headers: AnswerHeaders) -> None:
    headers.tell_origin(origin("LIVE", "fmp"))

    assert headers.told() == {"x-source": "fmp", "x-as-of": "2026-04-07T09:00:00Z", "x-freshness": "live"}


@pytest.mark.parametrize(
    ("freshness", "told"),
    [
        (["LIVE", "DELAYED"], "delayed"),
        (["CLOSED", "DELAYED", "LIVE"], "closed"),
        (["STALE", "STALE"], "stale"),
        (["LIVE", "STALE", "CLOSED"], "stale"),
        (["SIMULATED", "SIMULATED"], "simulated"),
    ],
)
def test_of_several_origins_the_weakest_freshness_counts(
    headers: AnswerHeaders, freshness: list[str], told: str
) -> None:
    headers.tell_origin(*(origin(each) for each in freshness))

    assert headers.told()["x-freshness"] == told


def test_of_several_origins_all_sources_and_the_oldest_time_are_told(headers: AnswerHeaders) -> None:
    headers.tell_origin(origin(), origin(source="fmp", seconds=AS_OF_SECONDS - 60), origin())

    assert headers.told()["x-source"] == "yahoo,fmp"
    assert headers.told()["x-as-of"] == "2026-04-07T08:59:00Z"


@pytest.mark.parametrize("provenances", [[], [pb.Provenance()]])
def test_what_is_not_known_is_not_told(headers: AnswerHeaders, provenances: list[pb.Provenance]) -> None:
    headers.tell_origin(*provenances)
    headers.tell_missing([])

    assert headers.told() == {}


def test_missing_symbols_are_named_in_order(headers: AnswerHeaders) -> None:
    headers.tell_missing([pb.MissingSymbol(symbol=symbol, code="SYMBOL_UNKNOWN") for symbol in ("NOPE", "GONE")])

    assert headers.told() == {"x-missing-symbols": "NOPE,GONE"}


def test_other_sites_may_read_every_header_that_is_described() -> None:
    assert {*ORIGIN_HEADERS, *MISSING_HEADERS} <= set(EXPOSED_HEADERS)


def test_an_answer_without_headers_describes_none() -> None:
    described: dict[Any, Any] = answered(content={})

    assert described == {200: {"description": "Successful Response", "content": {}}}
