"""Mails: which are wanted, ending a list with one click, and a summary of one's portfolios on demand."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import SecretStr

from bourse.auth.v1 import contacts_pb2
from bourse.portfolio.v1 import summaries_pb2
from gateway.bodies import StrictRoute, skip_body
from gateway.clients import Contacts, Summaries
from gateway.errors import documented
from gateway.models.auth import MAX_MAIL_TOKEN_LENGTH
from gateway.models.email import MailListName, MailPreferences, SummarySent, Unsubscribed, WantedPreferences
from gateway.queries import ANY_NAMES
from gateway.security import Owner

router = APIRouter(prefix="/api/email", tags=["email"], route_class=StrictRoute)

LISTS = {
    "alerts": contacts_pb2.MAIL_LIST_ALERTS,
    "portfolio_summary": contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY,
    "portfolio-summary": contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY,
}
MAX_FORM_BYTES = 1024
ACCOUNT_PAGE = "/account"

Token = Annotated[
    SecretStr,
    Query(description="What the mail's link says.", min_length=1, max_length=MAX_MAIL_TOKEN_LENGTH),
]
ListName = Annotated[MailListName, Query(alias="list", description="The list that is to end.")]


async def _deadline(request: Request) -> float:
    seconds: float = request.app.state.settings.gateway_mail_deadline_seconds
    return seconds


async def _any_form(request: Request) -> None:
    await skip_body(request, MAX_FORM_BYTES)


MailDeadline = Annotated[float, Depends(_deadline)]


@router.get(
    "/preferences/{user_id}", response_model=MailPreferences, responses=documented(400, 401, 403, 404, 429, 503, 504)
)
async def read_preferences(user_id: Owner, contacts: Contacts) -> contacts_pb2.Contact:
    """Which mails the user wants. Each is wanted until somebody says otherwise."""
    reply = await contacts.GetContact(contacts_pb2.GetContactRequest(user_id=user_id))
    return reply.contact


@router.put(
    "/preferences/{user_id}",
    response_model=MailPreferences,
    responses=documented(400, 401, 403, 404, 408, 413, 415, 429, 503, 504),
)
async def set_preferences(user_id: Owner, wanted: WantedPreferences, contacts: Contacts) -> contacts_pb2.Contact:
    """Say which mails the user wants; what is not named stays as it was.

    A list that was ended by a mail's link is wanted again only once the address is verified: 400 until then.
    """
    preferences = [
        contacts_pb2.MailPreference(list=LISTS[name], is_wanted=is_wanted) for name, is_wanted in wanted.named().items()
    ]
    reply = await contacts.SetMailLists(contacts_pb2.SetMailListsRequest(user_id=user_id, preferences=preferences))
    return reply.contact


@router.post(
    "/unsubscribe",
    response_model=Unsubscribed,
    responses=documented(400, 408, 413, 429, 503, 504),
    dependencies=[Depends(_any_form), ANY_NAMES],
)
async def unsubscribe(token: Token, name: ListName, contacts: Contacts) -> contacts_pb2.UnsubscribeResponse:
    """End a list with the token that each of its mails carries; ending an ended one succeeds.

    This is what mail programs call (RFC 8058) with the form `List-Unsubscribe=One-Click`; a body of up to 1 KB is taken
    and not looked at.
    """
    request = contacts_pb2.UnsubscribeRequest(token=token.get_secret_value(), list=LISTS[name])
    return await contacts.Unsubscribe(request)


@router.get("/unsubscribe", include_in_schema=False, dependencies=[ANY_NAMES])
async def lead_to_unsubscribing(token: Token, name: ListName) -> RedirectResponse:
    """Lead a mail program that opens the address above in a browser to the page that asks first; this ends nothing."""
    fragment = urlencode({"unsubscribe": token.get_secret_value(), "list": name})
    return RedirectResponse(f"{ACCOUNT_PAGE}#{fragment}", status_code=303)


@router.post(
    "/portfolio-summary/{user_id}",
    response_model=SummarySent,
    responses=documented(400, 401, 403, 404, 429, 503, 504),
)
async def send_portfolio_summary(
    user_id: Owner, summaries: Summaries, deadline_seconds: MailDeadline
) -> summaries_pb2.SendSummaryResponse:
    """Send the user a summary of all portfolios by mail, now; answered when the mail server has taken it.

    Who has unsubscribed from summaries gets none: 400.
    """
    request = summaries_pb2.SendSummaryRequest(user_id=user_id)
    return await summaries.SendSummary(request, timeout=deadline_seconds)
