from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match

from gateway.dispatch import RouteTable
from gateway.errors import MethodNotAllowed
from gateway.http_cache import CACHED

router = APIRouter()


@router.get("/api/price/{symbol}")
async def price(symbol: str) -> str:
    return symbol


@router.get("/api/price/bulk", **CACHED)
async def bulk(symbols: str, long: bool = False) -> str:
    return f"{symbols}{long}"


@router.delete("/api/price/{symbol}")
async def delete(symbol: str) -> str:
    return symbol


@router.get("/api/price/{symbol}/history")
async def history(symbol: str) -> str:
    return symbol


@pytest.fixture
def table() -> RouteTable:
    return RouteTable([route for route in router.routes if isinstance(route, APIRoute)])


def scope(path: str, method: str = "GET", kind: str = "http") -> dict[str, Any]:
    return {"type": kind, "path": path, "method": method}


@pytest.mark.parametrize("path", ["/api/price/bulk", "/api/price/bulk/"])
def test_a_literal_path_wins_over_a_parameter(table: RouteTable, path: str) -> None:
    match, child = table.matches(scope(path))

    assert match is Match.FULL
    assert child["endpoint"] is bulk


def test_parameters_are_read(table: RouteTable) -> None:
    _, child = table.matches(scope("/api/price/TCS", "DELETE"))

    assert child["endpoint"] is delete
    assert child["path_params"] == {"symbol": "TCS"}


def test_head_finds_get(table: RouteTable) -> None:
    _, child = table.matches(scope("/api/price/TCS", "HEAD"))

    assert child["endpoint"] is price


def test_unknown_paths_and_other_protocols_are_left_alone(table: RouteTable) -> None:
    assert table.matches(scope("/api/nope"))[0] is Match.NONE
    assert table.matches(scope("/api/price/bulk", kind="websocket"))[0] is Match.NONE


def test_a_line_break_after_a_path_makes_another_path(table: RouteTable) -> None:
    assert table.matches(scope("/api/price/TCS/history"))[0] is Match.FULL
    assert table.matches(scope("/api/price/TCS/history\n"))[0] is Match.NONE


async def test_a_wrong_method_names_every_right_one(table: RouteTable) -> None:
    request = scope("/api/price/TCS", "PUT")
    match, child = table.matches(request)
    assert match is Match.PARTIAL

    with pytest.raises(MethodNotAllowed) as refused:
        await table.handle({**request, **child}, None, None)  # type: ignore[arg-type]

    assert refused.value.headers == {"Allow": "DELETE, GET, HEAD"}


def test_only_marked_routes_are_kept_by_the_queries_they_read(table: RouteTable) -> None:
    assert table.kept_path("/api/price/bulk/") == ("/api/price/bulk", frozenset({"symbols", "long"}))
    assert table.kept_path("/api/price/TCS") is None
    assert table.kept_path("/nope") is None
