"""What the snapshot is made of, shared by replicas in the second-level cache: the quotes, and that somebody reads it.

The key holds a fingerprint of the quotes' shape, as those of `shared_answers.py` do.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from chassis.cache import Cache
from market.domain.quotes import Quote
from market.storage.shared_answers import VERSION, fingerprint

log = logging.getLogger(__name__)


class CachedSnapshot:
    """The quotes of the snapshot in one cache.

    Args:
        cache: where they are; it counts as empty while it is away.
        keep_seconds: how long quotes are kept.
        reader_seconds: how long a reader is remembered.
    """

    def __init__(self, cache: Cache, *, keep_seconds: float, reader_seconds: float) -> None:
        self._cache = cache
        self._keep_seconds = keep_seconds
        self._reader_seconds = reader_seconds
        self._adapter: TypeAdapter[tuple[datetime, tuple[Quote, ...]]] = TypeAdapter(tuple[datetime, tuple[Quote, ...]])
        self._quotes_key = f"market:snapshot:{VERSION}:{fingerprint(self._adapter)}:quotes"
        self._reader_key = f"market:snapshot:{VERSION}:read"

    async def keep(self, quotes: Sequence[Quote], asked_at: datetime) -> None:
        """Tell what sources answered."""
        written = self._adapter.dump_json((asked_at, tuple(quotes)))
        await self._cache.set(self._quotes_key, written, ttl_seconds=self._keep_seconds)

    async def read(self) -> tuple[Sequence[Quote], datetime] | None:
        """Return what was told last, and when sources answered it; None when nothing was, or long ago."""
        written = await self._cache.get(self._quotes_key)
        if written is None:
            return None
        try:
            asked_at, quotes = self._adapter.validate_json(written)
        except ValidationError as error:
            # Its text quotes what was written, of which a log needs no more than the number of problems.
            log.warning("shared snapshot unreadable", extra={"problems": error.error_count()})
            return None
        return quotes, asked_at

    async def note_reader(self) -> None:
        """Tell that somebody reads the snapshot."""
        await self._cache.set(self._reader_key, b"1", ttl_seconds=self._reader_seconds)

    async def has_reader(self) -> bool:
        """Say whether somebody read it in the last minute, on any replica."""
        return await self._cache.get(self._reader_key) is not None
