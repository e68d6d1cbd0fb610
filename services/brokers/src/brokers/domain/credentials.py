"""What can be a credential, and which of them belong to the sandbox."""

import string
from enum import StrEnum

from brokers.domain.errors import CredentialsMalformed
from brokers.domain.secrets import Secret

MAX_LENGTH = 512
CHECKSUM_LENGTH = 64
SANDBOX_PREFIX = "sandbox-"

_PRINTABLE = frozenset(string.digits + string.ascii_letters + string.punctuation)
_HEXADECIMAL = frozenset(string.hexdigits)


class CredentialField(StrEnum):
    """The names that callers know credentials by, which are those that a child gets them under."""

    API_KEY = "api_key"
    API_SECRET = "api_secret"  # noqa: S105  # a field's name
    API_SESSION = "api_session"
    CHECKSUM = "checksum"
    REQUEST_TOKEN = "request_token"  # noqa: S105  # a field's name


def credential(field: CredentialField, text: str) -> Secret:
    """Return a credential as a secret.

    Raises:
        CredentialsMalformed: it is empty, too long, or holds a blank or what is not printable ASCII.
    """
    if not text:
        raise CredentialsMalformed(field.value, "is missing")
    if len(text) > MAX_LENGTH:
        raise CredentialsMalformed(field.value, f"is longer than {MAX_LENGTH} characters")
    if not _PRINTABLE.issuperset(text):
        raise CredentialsMalformed(field.value, "may hold printable ASCII characters alone, and no blanks")
    return Secret(text)


def checksum(text: str) -> Secret:
    """Return a checksum that the client computed as a secret.

    Raises:
        CredentialsMalformed: it is no SHA-256 in hexadecimal digits.
    """
    if len(text) != CHECKSUM_LENGTH or not _HEXADECIMAL.issuperset(text):
        raise CredentialsMalformed(CredentialField.CHECKSUM.value, f"must be {CHECKSUM_LENGTH} hexadecimal digits")
    return Secret(text)


def is_simulated(api_key: Secret, *, has_sandbox: bool) -> bool:
    """Say whether a key is the sandbox's.

    Args:
        api_key: the key.
        has_sandbox: whether this service knows where the sandbox is.

    Raises:
        CredentialsMalformed: it is the sandbox's and there is none.
    """
    if not api_key.reveal().startswith(SANDBOX_PREFIX):
        return False
    if not has_sandbox:
        problem = "is the sandbox's, which this server does not know; run `make sandbox` and set BROKERS_SANDBOX_URL"
        raise CredentialsMalformed(CredentialField.API_KEY.value, problem)
    return True
