"""The domain's values as the contract's messages; what the handlers answer and the outbox tells."""

from collections.abc import Iterable
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp

from auth.domain.keys import PublicKey
from auth.domain.mail_lists import Contact, MailList, MailListInvalid
from auth.domain.revocations import Revocation, RevocationKind
from auth.domain.tokens import Session, Tokens
from auth.domain.users import IdentityProvider, User
from auth.domain.wanted_mails import MailKind, WantedMail
from bourse.auth.v1 import accounts_pb2, contacts_pb2, events_pb2, keys_pb2, sessions_pb2

SIGNATURE_ALGORITHM = "EdDSA"
MAIL_WANTED_SUBJECT = "events.auth.mail_wanted"

_IDENTITY_PROVIDERS = {
    IdentityProvider.PASSWORD: accounts_pb2.IDENTITY_PROVIDER_PASSWORD,
    IdentityProvider.GOOGLE: accounts_pb2.IDENTITY_PROVIDER_GOOGLE,
}
_MAIL_LISTS = {
    contacts_pb2.MAIL_LIST_ALERTS: MailList.ALERTS,
    contacts_pb2.MAIL_LIST_PORTFOLIO_SUMMARY: MailList.PORTFOLIO_SUMMARY,
}
_MAILS = {
    MailKind.VERIFY_EMAIL: events_pb2.ACCOUNT_MAIL_VERIFY_EMAIL,
    MailKind.RESET_PASSWORD: events_pb2.ACCOUNT_MAIL_RESET_PASSWORD,
}


def user_message(user: User) -> accounts_pb2.User:
    """Return what others may know of an account."""
    created_at = Timestamp()
    created_at.FromDatetime(user.created_at)
    return accounts_pb2.User(
        id=user.id,
        identity_provider=_IDENTITY_PROVIDERS[user.identity_provider],
        email=user.email,
        name=user.name,
        picture=user.picture,
        created_at=created_at,
        is_email_verified=user.is_email_verified,
    )


def contact_message(contact: Contact) -> contacts_pb2.Contact:
    """Return what those who send mail may know of an account."""
    preferences = [
        contacts_pb2.MailPreference(list=number, is_wanted=mail_list in contact.wanted)
        for number, mail_list in _MAIL_LISTS.items()
    ]
    return contacts_pb2.Contact(
        user_id=contact.user.id,
        email=contact.user.email,
        name=contact.user.name,
        is_email_verified=contact.user.is_email_verified,
        preferences=preferences,
        unsubscribe_token=contact.unsubscribe_token,
    )


def mail_list_of(number: contacts_pb2.MailList.ValueType) -> MailList:
    """Return the list of a message.

    Raises:
        MailListInvalid: it names none.
    """
    if number not in _MAIL_LISTS:
        raise MailListInvalid
    return _MAIL_LISTS[number]


def wanted_lists_of(preferences: Iterable[contacts_pb2.MailPreference]) -> dict[MailList, bool]:
    """Return which lists are wanted.

    Raises:
        MailListInvalid: one names none, or one that another names too.
    """
    wanted: dict[MailList, bool] = {}
    for preference in preferences:
        mail_list = mail_list_of(preference.list)
        if mail_list in wanted:
            raise MailListInvalid
        wanted[mail_list] = preference.is_wanted
    return wanted


def mail_wanted_message(mail: WantedMail) -> events_pb2.MailWanted:
    """Return the event that gets a mail sent."""
    requested_at = Timestamp()
    requested_at.FromDatetime(mail.requested_at)
    return events_pb2.MailWanted(id=mail.id, user_id=mail.user_id, mail=_MAILS[mail.kind], requested_at=requested_at)


def wanted_mail_of(message: events_pb2.MailWanted) -> WantedMail:
    """Return the mail that an event wants.

    Raises:
        ValueError: it says of none what a mail needs.
    """
    kinds = {number: kind for kind, number in _MAILS.items()}
    if message.mail not in kinds or not message.id or not message.HasField("requested_at"):
        raise ValueError("the event wants no mail that we know")
    requested_at = message.requested_at.ToDatetime(tzinfo=UTC)
    return WantedMail(message.id, message.user_id, kinds[message.mail], requested_at)


def tokens_message(tokens: Tokens) -> accounts_pb2.Tokens:
    """Return a session's tokens in clear, for the one message that hands them out."""
    return accounts_pb2.Tokens(
        access_token=tokens.access_token.get_secret_value(),
        refresh_token=tokens.refresh_token.get_secret_value(),
        expires_in_seconds=tokens.expires_in_seconds,
    )


def open_session_message(session: Session) -> sessions_pb2.OpenSession:
    """Return what its owner may know of a session; from where it was opened is kept for throttling alone."""
    created_at, expires_at = Timestamp(), Timestamp()
    created_at.FromDatetime(session.created_at)
    expires_at.FromDatetime(session.refresh_expires_at)
    return sessions_pb2.OpenSession(
        id=session.id, created_at=created_at, expires_at=expires_at, opened_from=session.opened_by.value
    )


def public_key_message(key: PublicKey) -> keys_pb2.PublicKey:
    """Return a verification key."""
    return keys_pb2.PublicKey(key_id=key.id, algorithm=SIGNATURE_ALGORITHM, public_key=key.raw)


def revocation_message(revocation: Revocation) -> keys_pb2.Revocation:
    """Return what is refused and until when."""
    expires_at = Timestamp()
    expires_at.FromDatetime(revocation.expires_at)
    match revocation.kind:
        case RevocationKind.TOKEN:
            return keys_pb2.Revocation(token_id=revocation.subject, expires_at=expires_at)
        case RevocationKind.SESSION:
            return keys_pb2.Revocation(session_id=revocation.subject, expires_at=expires_at)
        case RevocationKind.USER:
            return keys_pb2.Revocation(user_id=revocation.subject, expires_at=expires_at)
