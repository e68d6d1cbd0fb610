"""The gateway itself: health and readiness."""

from fastapi import APIRouter

from gateway.bodies import StrictRoute
from gateway.errors import UpstreamUnavailable, documented
from gateway.health import Page
from gateway.models.system import Health, Liveness
from gateway.queries import ANY_NAMES

router = APIRouter(tags=["system"], route_class=StrictRoute)


class NotReady(UpstreamUnavailable):
    """The gateway should not get traffic now."""

    def __init__(self) -> None:
        super().__init__("The gateway is not ready")


@router.get("/api/health", response_model=Health, responses=documented(400, 429))
async def read_health(page: Page) -> Health:
    """How the system stands: services, database, caches, warmers. Answers 200 as long as the gateway itself works."""
    return page.read()


@router.get("/livez", response_model=Liveness, dependencies=[ANY_NAMES])
async def read_liveness() -> Liveness:
    """Say that the process runs."""
    return Liveness(status="ok")


@router.get("/readyz", response_model=Liveness, responses=documented(503), dependencies=[ANY_NAMES])
async def read_readiness(page: Page) -> Liveness:
    """Say whether the gateway should get traffic."""
    if not page.is_ready:
        raise NotReady
    return Liveness(status="ok")
