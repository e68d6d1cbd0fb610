"""The gateway itself: health, readiness, and the page that describes the API."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from gateway.bodies import StrictRoute
from gateway.errors import UpstreamUnavailable, documented
from gateway.health import Page
from gateway.models.system import Health, Liveness

router = APIRouter(tags=["system"], route_class=StrictRoute)


class NotReady(UpstreamUnavailable):
    """The gateway should not get traffic now."""

    def __init__(self) -> None:
        super().__init__("The gateway is not ready")


@router.get("/api/health", response_model=Health, responses=documented(429))
async def read_health(page: Page) -> Health:
    """How the system stands: services, database, caches, warmers. Answers 200 as long as the gateway itself works."""
    return page.read()


@router.get("/livez", response_model=Liveness)
async def read_liveness() -> Liveness:
    """Say that the process runs."""
    return Liveness(status="ok")


@router.get("/readyz", response_model=Liveness, responses=documented(503))
async def read_readiness(page: Page) -> Liveness:
    """Say whether the gateway should get traffic."""
    if not page.is_ready:
        raise NotReady
    return Liveness(status="ok")


DOCS_PAGE = files("gateway").joinpath("docs.html").read_text(encoding="utf-8")


def _hash_of(element: str) -> str:
    content = DOCS_PAGE.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    return b64encode(sha256(content.encode()).digest()).decode()


DOCS_POLICY = (
    f"default-src 'none'; connect-src 'self'; script-src 'sha256-{_hash_of('script')}'; "
    f"style-src 'sha256-{_hash_of('style')}'; base-uri 'none'; frame-ancestors 'none'"
)


@router.get("/docs", include_in_schema=False, response_class=HTMLResponse)
async def read_docs() -> Response:
    """Show the API's description; the page loads nothing from anywhere else."""
    headers = {"Content-Security-Policy": DOCS_POLICY, "Cache-Control": "public, max-age=300"}
    return HTMLResponse(DOCS_PAGE, headers=headers)


@router.get("/openapi.json", include_in_schema=False)
async def read_openapi(request: Request) -> Response:
    """Return the API's OpenAPI document."""
    headers = {"Cache-Control": "public, max-age=300"}
    return Response(request.app.state.openapi_text, headers=headers, media_type="application/json")
