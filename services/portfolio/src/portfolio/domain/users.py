"""Whose portfolio is meant."""

from chassis.errors import Code, ServiceError

MAX_USER_ID_LENGTH = 255


class UserIdInvalid(ServiceError):
    """No user has such an id."""

    code = Code.INVALID_ARGUMENT
    reason = "USER_ID_INVALID"

    def __init__(self) -> None:
        super().__init__(f"a user id has 1 to {MAX_USER_ID_LENGTH} printable characters")


def require_user_id(user_id: str) -> None:
    """Refuse what cannot be a user's id.

    Raises:
        UserIdInvalid: it is empty, too long, or not printable.
    """
    if not 0 < len(user_id) <= MAX_USER_ID_LENGTH or not user_id.isprintable():
        raise UserIdInvalid
