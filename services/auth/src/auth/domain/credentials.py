"""What a person types to sign up or in: e-mail address, password, display name."""

import hashlib
import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from pydantic import SecretStr

from chassis.errors import Code, ServiceError
from mail.messages import LetterInvalid, mailbox_of

EMAIL_MAX_LENGTH = 254
PASSWORD_MIN_LENGTH = 8
PASSWORD_MAX_LENGTH = 1_024
NAME_MAX_LENGTH = 100
MAX_CAUSE_LENGTH = 200

_CONTROL_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# These reorder the text around them; the other format characters are letters' helpers in Indian scripts and stay.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class EmailInvalid(ServiceError):
    """The text is not an e-mail address that mail could be sent to."""

    code = Code.INVALID_ARGUMENT
    reason = "EMAIL_INVALID"

    def __init__(self, cause: str) -> None:
        # Whoever checks the syntax names every wrong character by its name in Unicode.
        told = cause if len(cause) <= MAX_CAUSE_LENGTH else f"{cause[:MAX_CAUSE_LENGTH]}..."
        super().__init__(f"email is not valid: {told}")


class PasswordTooShort(ServiceError):
    """The password has too few characters."""

    code = Code.INVALID_ARGUMENT
    reason = "PASSWORD_TOO_SHORT"

    def __init__(self) -> None:
        super().__init__(f"password must have at least {PASSWORD_MIN_LENGTH} characters")


class PasswordTooLong(ServiceError):
    """The password has too many characters."""

    code = Code.INVALID_ARGUMENT
    reason = "PASSWORD_TOO_LONG"

    def __init__(self) -> None:
        super().__init__(f"password must have at most {PASSWORD_MAX_LENGTH} characters")


class NameInvalid(ServiceError):
    """The display name is blank, too long or holds control characters."""

    code = Code.INVALID_ARGUMENT
    reason = "NAME_INVALID"

    def __init__(self) -> None:
        super().__init__(f"name must have 1 to {NAME_MAX_LENGTH} characters, none of them a control character")


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """A valid address.

    Attributes:
        address: as the person wrote it, in Unicode's composed form, the domain in lower case.
        key: what two spellings of one account have in common: local part case-folded, domain in IDNA's ASCII form.
    """

    address: str
    key: str

    @property
    def digest(self) -> bytes:
        """Return what stands for the address where it is not to be kept itself: SHA-256 of its key, 32 bytes."""
        return hashlib.sha256(self.key.encode()).digest()


def parse_email(text: str) -> EmailAddress:
    """Return the address that `text` holds, its syntax checked; whether it receives mail is not asked.

    Raises:
        EmailInvalid: it is longer than 254 characters or breaks the syntax of addresses.
    """
    if len(text) > EMAIL_MAX_LENGTH:
        raise EmailInvalid(f"it has more than {EMAIL_MAX_LENGTH} characters")
    try:
        checked = validate_email(text, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise EmailInvalid(str(error)) from error
    local_part = unicodedata.normalize("NFC", checked.local_part.casefold())
    return EmailAddress(address=checked.normalized, key=f"{local_part}@{checked.ascii_domain}")


def parse_new_email(text: str) -> EmailAddress:
    """Return an address fit for a new account: one that our mails can be written to.

    What cannot be written to could never be verified, and would keep its key from whoever owns the address that has
    the same one (`ﬁnance@` is case-folded to `finance@`).

    Raises:
        EmailInvalid: it is no address, or its local part has letters that are not ASCII, or its domain ones that our
            mails cannot be sent to.
    """
    parsed = parse_email(text)
    try:
        mailbox_of(parsed.address)
    except LetterInvalid as error:
        raise EmailInvalid("mails cannot be sent to it; write it in plain Latin letters") from error
    return parsed


def parse_new_password(password: SecretStr) -> SecretStr:
    """Return a password fit for a new account, in the form that is hashed.

    Raises:
        PasswordTooShort: fewer than 8 characters.
        PasswordTooLong: more than 1,024 characters.
    """
    if len(password) > PASSWORD_MAX_LENGTH:
        raise PasswordTooLong
    normalised = normalise_password(password)
    if len(normalised) < PASSWORD_MIN_LENGTH:
        raise PasswordTooShort
    return normalised


def normalise_password(password: SecretStr) -> SecretStr:
    """Return the same password whichever keyboard typed it: composed, as RFC 8265 §4.2 asks."""
    return SecretStr(unicodedata.normalize("NFC", password.get_secret_value()))


def parse_name(text: str) -> str:
    """Return a display name in Unicode's composed form, without surrounding space.

    Raises:
        NameInvalid: nothing is left, it is longer than 100 characters as written or composed, or it holds a control
            character.
    """
    written = text.strip(" ")
    # Composing takes time in the square of the length, so what is too long already is not composed.
    if len(written) > NAME_MAX_LENGTH:
        raise NameInvalid
    # Some letters of Indian scripts grow by it: U+0958 is two characters in the composed form.
    name = unicodedata.normalize("NFC", written)
    if not 1 <= len(name) <= NAME_MAX_LENGTH or any(_is_control(character) for character in name):
        raise NameInvalid
    return name


def _is_control(character: str) -> bool:
    return character in _BIDI_CONTROLS or unicodedata.category(character) in _CONTROL_CATEGORIES
