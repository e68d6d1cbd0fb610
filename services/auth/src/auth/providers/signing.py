"""Signs access tokens with EdDSA; the only holder of the private key in the whole suite."""

import asyncio
import logging
from datetime import datetime
from typing import Protocol

import jwt
from pydantic import SecretStr

from auth.domain.keys import PublicKey
from auth.domain.tokens import AccessClaims
from auth.providers.key_files import KeysInUse
from chassis.clock import Clock
from chassis.metrics import counter

log = logging.getLogger(__name__)

_READS_FAILED = counter("bourse_auth_key_reads_failed", "Times that the signing keys could not be read again.")

ALGORITHM = "EdDSA"
RELOAD_SECONDS = 5.0


class KeySource(Protocol):
    """Where the keys are read from."""

    def read(self, now: datetime) -> KeysInUse:
        """Return the keys in use at `now`."""
        ...


class TokenSigner:
    """Signs with the key whose turn it is, and follows the rotation of its source."""

    def __init__(self, source: KeySource, *, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._keys = source.read(clock.now())

    def sign(self, claims: AccessClaims) -> SecretStr:
        """Return the claims as a compact JWT with `kid` and `typ` in its header."""
        headers = {"kid": self._keys.standing.signing.id}
        return SecretStr(jwt.encode(claims.as_registered(), self._keys.private, algorithm=ALGORITHM, headers=headers))

    def published_keys(self) -> tuple[PublicKey, ...]:
        """Return the keys that verify unexpired tokens, the one that signs now first."""
        return self._keys.standing.published

    @property
    def newest_key_at(self) -> datetime | None:
        """Return when the newest key was made; None when its source does not know."""
        return self._keys.newest_at

    async def follow(self) -> None:
        """Read the source again every five seconds until cancelled; what cannot be read changes nothing."""
        while True:
            await self._clock.sleep(RELOAD_SECONDS)
            try:
                self._adopt(await asyncio.to_thread(self._source.read, self._clock.now()))
            except Exception:
                _READS_FAILED.inc()
                log.exception("signing keys were not read again")

    def _adopt(self, keys: KeysInUse) -> None:
        previous = self._keys.standing
        self._keys = keys
        if keys.standing != previous:
            published = [key.id for key in keys.standing.published]
            log.info("signing keys changed", extra={"signing": keys.standing.signing.id, "published": published})
