"""What users call their watchlists and portfolios."""

from chassis.errors import Code, ServiceError

MAX_NAME_LENGTH = 100


class NameInvalid(ServiceError):
    """Nothing can be called so."""

    code = Code.INVALID_ARGUMENT
    reason = "NAME_INVALID"

    def __init__(self) -> None:
        super().__init__(f"a name has 1 to {MAX_NAME_LENGTH} printable characters, and not blanks alone")


def require_name(name: str) -> None:
    """Refuse what cannot be a name.

    Raises:
        NameInvalid: it is blank, too long, or not printable.
    """
    if len(name) > MAX_NAME_LENGTH or not name.isprintable() or not name.strip():
        raise NameInvalid
