"""What is written about markets and companies."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Article:
    """One article; None is what the source does not say.

    Attributes:
        published_at: when.
        title: its title.
        url: where it can be read; it begins with `https://` or `http://`.
        symbol: the exchange's own symbol it is about; None for none in particular.
        site: the publisher's host.
        text: the beginning, or a summary, as plain text.
    """

    published_at: datetime
    title: str
    url: str
    symbol: str | None = None
    publisher: str | None = None
    image: str | None = None
    site: str | None = None
    text: str | None = None
