"""Indices and the market at a glance."""

from fastapi import APIRouter

from bourse.market.v1 import snapshot_pb2 as pb
from gateway.bodies import StrictRoute
from gateway.clients import Snapshots
from gateway.errors import documented
from gateway.http_cache import CACHED
from gateway.models.indices import Snapshot

router = APIRouter(prefix="/api/index", tags=["indices"], route_class=StrictRoute)


@router.get("/snapshot", response_model=Snapshot, responses=documented(429, 503, 504), **CACHED)
async def read_snapshot(snapshots: Snapshots) -> pb.GetSnapshotResponse:
    """Index levels, market status, sector heatmap and the strongest signals."""
    return await snapshots.GetSnapshot(pb.GetSnapshotRequest())
