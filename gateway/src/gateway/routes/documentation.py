"""The pages that describe the API, the list of its operations, and the OpenAPI document they are made from."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from gateway.bodies import StrictRoute
from gateway.errors import documented
from gateway.models.system import Information
from gateway.openapi import as_text
from gateway.pages.documentation import documentation
from gateway.pages.examples import Examples
from gateway.pages.finished import FinishedPage, html_page
from gateway.pages.listing import list_endpoints
from gateway.pages.operations import read_operations
from gateway.pages.reference import reference
from gateway.queries import ANY_NAMES

router = APIRouter(tags=["system"], route_class=StrictRoute)

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Documents:
    """Everything that describes the API, finished at start."""

    front: FinishedPage
    reference: FinishedPage
    information: FinishedPage
    openapi: FinishedPage


def make_documents(description: dict[str, Any], examples: Examples) -> Documents:
    """Make all pages from the OpenAPI document."""
    information = Information(
        status="success",
        message=f"{description['info']['title']} server is running",
        version=description["info"]["version"],
        documentation="Visit / for full HTML documentation",
        endpoints=list_endpoints(read_operations(description)),
        example="Try /api/stock/price/AAPL for Apple stock price",
    )
    return Documents(
        front=html_page(documentation(description, examples)),
        reference=html_page(reference(description)),
        information=FinishedPage(information.model_dump_json(), JSON),
        openapi=FinishedPage(as_text(description), JSON),
    )


async def _documents(request: Request) -> Documents:
    documents: Documents = request.app.state.documents
    return documents


Finished = Annotated[Documents, Depends(_documents)]


@router.get("/", response_class=HTMLResponse, responses=documented(429), dependencies=[ANY_NAMES])
async def read_documentation(request: Request, documents: Finished) -> Response:
    """Show every operation with an example and a form to try it; the page loads nothing from any other host."""
    return documents.front.answer(request)


@router.get("/api", response_model=Information, responses=documented(400, 429))
async def list_operations(request: Request, documents: Finished) -> Response:
    """Say that the server runs, and list the address of every operation by group and name."""
    return documents.information.answer(request)


@router.get("/docs", include_in_schema=False, dependencies=[ANY_NAMES])
async def read_reference(request: Request, documents: Finished) -> Response:
    """Show the OpenAPI document: schemas and security."""
    return documents.reference.answer(request)


@router.get("/openapi.json", include_in_schema=False, dependencies=[ANY_NAMES])
async def read_openapi(request: Request, documents: Finished) -> Response:
    """Return the OpenAPI document."""
    return documents.openapi.answer(request)
