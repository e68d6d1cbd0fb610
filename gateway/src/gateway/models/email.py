"""What mails people want, and what became of one that was asked for."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from bourse.auth.v1 import contacts_pb2
from gateway.reply import DateTime, From, Reply, always, itself

MailListName = Literal["alerts", "portfolio-summary"]
"""A list as links in mails name it."""


def _is_wanted(mail_list: int) -> Callable[[contacts_pb2.Contact], bool]:
    # A list is wanted until somebody says otherwise.
    return lambda contact: all(each.is_wanted for each in contact.preferences if each.list == mail_list)


class Preferences(Reply):
    """Which mails are wanted: of alerts that fired, and summaries of portfolios."""

    alerts: Annotated[bool, From(_is_wanted(contacts_pb2.MAIL_LIST_ALERTS))]
    portfolio_summary: Annotated[bool, From(_is_wanted(contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY))]


class MailPreferences(Reply):
    """Which mails are wanted, where they go, and whether that address is known to be the user's."""

    success: Annotated[bool, always(True)]
    preferences: Annotated[Preferences, From(itself)]
    email: str
    is_email_verified: bool


class WantedPreferences(BaseModel):
    """Which mails are wanted; what is not named stays as it was."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, json_schema_extra={"minProperties": 1})

    # By factories, because null is refused and a default would look as if it were set.
    alerts: StrictBool = Field(default_factory=bool)
    portfolio_summary: StrictBool = Field(default_factory=bool)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("Send alerts, portfolio_summary or both")
        return self

    def named(self) -> dict[str, bool]:
        """Return what is to change."""
        return self.model_dump(exclude_unset=True)


class Unsubscribed(Reply):
    """A list that has ended, now or before."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("You will get no more of these mails")]


class SummarySent(Reply):
    """A summary that the mail server has taken; `message_id` is the mail's `Message-ID`."""

    success: Annotated[bool, always(True)]
    message: Annotated[str, always("Portfolio summary email sent successfully")]
    message_id: str
    sent_at: DateTime
