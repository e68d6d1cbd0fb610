"""The page that links in mails lead to."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from gateway.bodies import StrictRoute
from gateway.pages.account import account_page
from gateway.queries import ANY_NAMES

router = APIRouter(tags=["system"], route_class=StrictRoute)


@router.get("/account", include_in_schema=False, dependencies=[ANY_NAMES])
async def show_account_page() -> HTMLResponse:
    """Show the page; the secret of a mail's link is in the fragment, which is never sent here."""
    page = account_page()
    return HTMLResponse(page.text, headers=page.headers)
