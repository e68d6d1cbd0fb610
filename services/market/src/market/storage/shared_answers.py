"""Answers that replicas share: JSON in the second-level cache, by kind and key.

A key holds a fingerprint of the values' type. After a release that changes it, old and new replicas run side by side
without reading each other's answers. `VERSION` is for a change of meaning that no type shows.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chassis.cache import Cache
from market.domain.answers import Answer

log = logging.getLogger(__name__)

VERSION = 1


class CachedAnswers:
    """All kinds of answers in one cache.

    Args:
        cache: where they are; it counts as empty while it is away.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def shelf(self, name: str, value_type: Any) -> "CachedShelf":
        """Return the shelf of one kind, whose values are of a type that pydantic can write and read."""
        return CachedShelf(self._cache, name, value_type)


class CachedShelf:
    """Answers of one kind."""

    def __init__(self, cache: Cache, name: str, value_type: Any) -> None:
        self._cache = cache
        self._adapter: TypeAdapter[Answer[Any]] = TypeAdapter(Answer[value_type])
        self._prefix = f"market:answers:{VERSION}:{fingerprint(self._adapter)}:{name}:"

    async def read(self, keys: Collection[str]) -> Mapping[str, Answer[Any]]:
        """Return what was kept, by key, however old; what cannot be read was not kept."""
        kept = await self._cache.get_many([self._prefix + key for key in keys])
        answers = {key: self._read(key, kept.get(self._prefix + key)) for key in keys}
        return {key: answer for key, answer in answers.items() if answer is not None}

    async def keep(self, answers: Mapping[str, Answer[Any]], *, ttl_seconds: float) -> None:
        """Keep answers by key for at most `ttl_seconds`."""
        written = {self._prefix + key: self._adapter.dump_json(answer) for key, answer in answers.items()}
        await self._cache.set_many(written, ttl_seconds=ttl_seconds)

    def _read(self, key: str, written: bytes | None) -> Answer[Any] | None:
        if written is None:
            return None
        try:
            return self._adapter.validate_json(written)
        except ValidationError as error:
            # Its text quotes what was written, of which a log needs no more than the number of problems.
            log.warning("shared answer unreadable", extra={"key": key, "problems": error.error_count()})
            return None


def fingerprint(adapter: TypeAdapter[Any]) -> str:
    """Return a fingerprint of the shape of what an adapter writes."""
    shape = json.dumps(adapter.json_schema(mode="serialization"), sort_keys=True)
    return hashlib.sha256(shape.encode()).hexdigest()[:12]
