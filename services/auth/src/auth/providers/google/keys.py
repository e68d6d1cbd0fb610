"""Google's keys, kept as long as Google says; the last good ones serve for a day while it is away.

An unknown key id has them fetched again, since Google rotates them, but at most once a minute: anybody can make up ids.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from auth.domain.google_login import GoogleUnavailable
from auth.providers.google.fetch import Fetch, KeysNotFetched
from auth.providers.google.parse import kept_seconds_of, keys_of
from chassis.clock import Clock
from chassis.tasks import end

log = logging.getLogger(__name__)

UNKNOWN_KEY_SECONDS = 60.0
RETRY_SECONDS = 10.0
LAST_GOOD_SECONDS = 24 * 3_600.0
WAIT_SECONDS = 4.0


class GoogleKeys:
    """The keys by their ids, fetched when somebody needs them."""

    def __init__(self, fetch: Fetch, thread: ThreadPoolExecutor, *, clock: Clock) -> None:
        self._fetch = fetch
        self._thread = thread
        self._clock = clock
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._kept_seconds = 0.0
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, fetch: Fetch, *, clock: Clock) -> AsyncIterator["GoogleKeys"]:
        """Start the one thread that fetches; nothing is fetched before the first sign-in."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="google-keys")
        keys = cls(fetch, thread, clock=clock)
        try:
            yield keys
        finally:
            if keys._reading is not None:
                await end(keys._reading)
            thread.shutdown(wait=False, cancel_futures=True)

    async def find(self, key_id: str) -> RSAPublicKey | None:
        """Return the key with this id; None when Google has none.

        Raises:
            GoogleUnavailable: that cannot be said, because Google does not answer.
        """
        if self._is_to_be_read(key_id):
            await self._read_once()
        if not self._are_good():
            raise GoogleUnavailable
        key = self._keys.get(key_id)
        if key is None and self._has_failed():
            raise GoogleUnavailable
        return key

    def _is_to_be_read(self, key_id: str) -> bool:
        if self._reading is not None:
            return self._is_due() or key_id not in self._keys
        if self._is_due():
            return self._seconds_since(self._tried_at) >= RETRY_SECONDS
        return key_id not in self._keys and self._seconds_since(self._tried_at) >= UNKNOWN_KEY_SECONDS

    def _is_due(self) -> bool:
        return self._seconds_since(self._read_at) >= self._kept_seconds

    def _are_good(self) -> bool:
        return self._seconds_since(self._read_at) < self._kept_seconds + LAST_GOOD_SECONDS

    def _has_failed(self) -> bool:
        return self._read_at is None or (self._tried_at is not None and self._tried_at > self._read_at)

    def _seconds_since(self, moment: float | None) -> float:
        return float("inf") if moment is None else self._clock.monotonic() - moment

    async def _read_once(self) -> None:
        """Wait for the one reading under way, which goes on when whoever began it leaves."""
        if self._reading is None:
            self._tried_at = self._clock.monotonic()
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            # The fetch bounds itself, but not the look-up of a name; so does this.
            async with asyncio.timeout(WAIT_SECONDS):
                document = await asyncio.get_running_loop().run_in_executor(self._thread, self._fetch)
            self._keys = keys_of(document)
            self._kept_seconds = kept_seconds_of(document)
            self._read_at = self._tried_at
            log.info("google keys read", extra={"keys": len(self._keys), "kept_seconds": self._kept_seconds})
        except (KeysNotFetched, TimeoutError) as error:
            log.warning("google keys not read", extra={"cause": str(error) or type(error).__name__})
        finally:
            self._reading = None
