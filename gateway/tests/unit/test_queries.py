from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, Query
from fastapi.routing import APIRoute

from gateway.app import api_routes
from gateway.bodies import StrictRoute
from gateway.queries import ANY_NAMES, ParameterRepeated, UnknownParameter, check_names, query_names, takes_any_names

TAKE_ANY = {
    "GET /",
    "GET /account",
    "GET /api/email/unsubscribe",
    "GET /docs",
    "GET /livez",
    "GET /openapi.json",
    "GET /readyz",
    "POST /api/email/unsubscribe",
}
KNOWN = frozenset({"to_date", "from_date"})
router = APIRouter()


async def _paging(page: int = 0, size: Annotated[int, Query(alias="per-page")] = 10) -> None:
    pass


@router.get("/strict/{path_parameter}", dependencies=[Depends(_paging)])
async def strict(path_parameter: str, kind: Annotated[str, Query(alias="type")]) -> None:
    pass


@router.get("/open", dependencies=[ANY_NAMES])
async def open_to_any(token: str) -> None:
    pass


STRICT, OPEN = (route for route in router.routes if isinstance(route, APIRoute))


def test_a_route_reads_what_its_signature_and_its_dependencies_name() -> None:
    assert query_names(STRICT.dependant) == {"type", "page", "per-page"}
    assert query_names(OPEN.dependant) == {"token"}
    assert (takes_any_names(STRICT.dependant), takes_any_names(OPEN.dependant)) == (False, True)


@pytest.mark.parametrize("given", [[], ["to_date"], ["to_date", "from_date"]])
def test_known_names_pass(given: list[str]) -> None:
    check_names(given, KNOWN, takes_any=False)


@pytest.mark.parametrize("takes_any", [False, True])
def test_a_known_name_is_given_once(takes_any: bool) -> None:
    with pytest.raises(ParameterRepeated, match=r"to_date: must be given once$"):
        check_names(["to_date", "from_date", "to_date"], KNOWN, takes_any=takes_any)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("from", "Unknown parameter: from"),
        ("To_date", "Unknown parameter: To_date"),
        ("to_date[]", "Unknown parameter: to_date[]"),
        ("_", "Unknown parameter: _"),
        ("a" * 24, f"Unknown parameter: {'a' * 24}"),
        ("a" * 25, "Unknown parameter"),
        ("", "Unknown parameter"),
        ("to_date ", "Unknown parameter"),
        ("to_date\n", "Unknown parameter"),
        ("é", "Unknown parameter"),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_known(name: str, told: str) -> None:
    with pytest.raises(UnknownParameter) as refused:
        check_names(["to_date", name], KNOWN, takes_any=False)
    assert refused.value.detail == f"{told} (known: from_date, to_date)"

    with pytest.raises(UnknownParameter) as refused:
        check_names([name], frozenset(), takes_any=False)
    assert refused.value.detail == f"{told} (none is known here)"


def test_who_takes_any_names_takes_them_as_often_as_they_come() -> None:
    check_names(["utm", "to_date", "utm", "utm"], KNOWN, takes_any=True)


def test_every_route_is_strict_but_pages_probes_and_what_others_call() -> None:
    routes = api_routes()

    assert all(isinstance(route, StrictRoute) for route in routes)
    assert {
        f"{method} {route.path}"
        for route in routes
        for method in route.methods or ()
        if takes_any_names(route.dependant)
    } == TAKE_ANY
