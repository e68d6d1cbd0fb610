"""How much of a long answer a caller wants."""

from chassis.errors import Code, ServiceError

MAX_LIMIT = 50
MAX_PAGE = 1_000


class LimitInvalid(ServiceError):
    """More, or fewer, were asked for than one answer holds."""

    code = Code.INVALID_ARGUMENT
    reason = "LIMIT_INVALID"

    def __init__(self, limit: int) -> None:
        super().__init__(f"limit is {limit}; it should be 1 to {MAX_LIMIT}")


class PageInvalid(ServiceError):
    """There is no such page."""

    code = Code.INVALID_ARGUMENT
    reason = "PAGE_INVALID"

    def __init__(self, page: int) -> None:
        super().__init__(f"page is {page}; it should be 0 to {MAX_PAGE}")


def read_limit(limit: int, *, default: int) -> int:
    """Return how many are wanted; 0 means the default.

    Raises:
        LimitInvalid: it is not 0 to 50.
    """
    if not 0 <= limit <= MAX_LIMIT:
        raise LimitInvalid(limit)
    return limit or default


def read_page(page: int) -> int:
    """Return which page is wanted, from 0.

    Raises:
        PageInvalid: it is not 0 to 1,000.
    """
    if not 0 <= page <= MAX_PAGE:
        raise PageInvalid(page)
    return page
