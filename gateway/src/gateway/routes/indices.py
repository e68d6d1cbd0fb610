"""Indices, what they are made of, and the market at a glance."""

from collections.abc import Sequence

from fastapi import APIRouter, Response

from bourse.market.v1 import indices_pb2, snapshot_pb2
from gateway.bodies import StrictRoute
from gateway.clients import Indices, Snapshots
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.market_params import Format, Index, Metadata
from gateway.models.indices import Constituent, ConstituentDetails, ConstituentPrice, Snapshot
from gateway.origin import ORIGIN_HEADERS, Headers, answered
from gateway.reply import read_in_turns
from gateway.tables import CSV_CONTENT, csv_answer

router = APIRouter(prefix="/api/index", tags=["indices"], route_class=StrictRoute)

ERRORS = documented(400, 404, 429, 503, 504)


@router.get("/snapshot", response_model=Snapshot, responses=documented(400, 429, 503, 504), **CACHED)
async def read_snapshot(snapshots: Snapshots) -> snapshot_pb2.GetSnapshotResponse:
    """Index levels, market status, sector heatmap and the strongest signals."""
    return await snapshots.GetSnapshot(snapshot_pb2.GetSnapshotRequest())


@router.get(
    "/constituents/{index_name}",
    response_model=list[ConstituentDetails] | list[Constituent],
    responses={**answered(content=CSV_CONTENT), **ERRORS},
    **CACHED,
)
async def list_constituents(
    index_name: Index, indices: Indices, wanted_format: Format = "json", include_metadata: Metadata = False
) -> Sequence[Constituent] | Response:
    """What an index is made of, by symbol, as JSON or as a table."""
    reply = await indices.ListConstituents(indices_pb2.ListConstituentsRequest(index=index_name))
    model = ConstituentDetails if include_metadata else Constituent
    if wanted_format == "csv":
        return await csv_answer(model, reply.constituents)
    return await read_in_turns(model, reply.constituents)


@router.get(
    "/stock-prices/{index_name}",
    response_class=Response,
    responses={**answered(ORIGIN_HEADERS, content=CSV_CONTENT), **ERRORS},
    **CACHED,
)
async def list_constituent_prices(index_name: Index, indices: Indices, headers: Headers) -> Response:
    """What the constituents of an index cost, as a table."""
    reply = await indices.ListConstituentPrices(indices_pb2.ListConstituentPricesRequest(index=index_name))
    headers.tell_origin(*(each.provenance for each in reply.prices if each.HasField("provenance")))
    return await csv_answer(ConstituentPrice, reply.prices, headers.told())
