"""Who Google says somebody is: the claims of an ID token whose signature, audience, issuer and times were verified.

A claim counts only in its own type: `"true"` is not true and a number is no id. What is shown (name, picture) is left
out when it cannot be used; what identifies (sub, email, email_verified) is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from auth.domain.credentials import EmailInvalid, NameInvalid, parse_email, parse_name
from chassis.errors import Code, ServiceError

# What paths and subjects take as it is. Shorter ids are password accounts' alone, so that nobody of Google's can ever
# bear one; Google's have 21 digits.
_SUBJECT = re.compile(r"[A-Za-z0-9._-]{16,255}")
PICTURE_MAX_LENGTH = 2_048

TIMES = ("iat", "exp", "nbf")


class IdTokenInvalid(ServiceError):
    """The ID token does not say who somebody is; what is wrong with it is kept for tests and for nobody's eyes."""

    code = Code.UNAUTHENTICATED
    reason = "ID_TOKEN_INVALID"

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__("the ID token is not valid; sign in with Google again")


@dataclass(frozen=True, slots=True)
class GoogleIdentity:
    """Who signed in with Google.

    Attributes:
        subject: Google's `sub`, which becomes the account's id; never read as a number.
        email: the verified address, domain in lower case.
        name: the display name; None when the token has none that can be shown.
        picture: the https address of a portrait; None when the token has none that can be shown.
    """

    subject: str
    email: str
    name: str | None
    picture: str | None


def identity_of(claims: Mapping[str, object]) -> GoogleIdentity:
    """Return whom the claims are about.

    Raises:
        IdTokenInvalid: a claim that identifies is absent, of another type, or says that the address is not verified.
    """
    for name in TIMES:
        _require_whole_seconds(claims, name)
    if claims.get("email_verified") is not True:
        raise IdTokenInvalid("email_verified is not true")
    return GoogleIdentity(
        subject=_subject_of(claims.get("sub")),
        email=_email_of(claims.get("email")),
        name=_name_of(claims.get("name")),
        picture=_picture_of(claims.get("picture")),
    )


def _require_whole_seconds(claims: Mapping[str, object], name: str) -> None:
    # The library reads "1" and 1.9 as 1; no issuer writes a time so.
    if name in claims and type(claims[name]) is not int:
        raise IdTokenInvalid(f"{name} is no whole number")


def _subject_of(value: object) -> str:
    if not isinstance(value, str) or _SUBJECT.fullmatch(value) is None:
        raise IdTokenInvalid("sub is no id")
    return value


def _email_of(value: object) -> str:
    if not isinstance(value, str):
        raise IdTokenInvalid("email is no text")
    try:
        return parse_email(value).address
    except EmailInvalid:
        # What is wrong with it may quote it.
        raise IdTokenInvalid("email is no address") from None


def _name_of(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_name(value)
    except NameInvalid:
        return None


def _picture_of(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > PICTURE_MAX_LENGTH:
        return None
    if not value.isascii() or not value.isprintable() or " " in value:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme == "https" and parts.hostname else None
