"""What auth tells of itself whenever somebody asks, from what its parts know anyway."""

from collections.abc import Iterator
from contextlib import contextmanager

from auth.providers.attempts import WindowedAttempts
from auth.providers.passwords import Argon2Passwords
from auth.providers.signing import TokenSigner
from chassis.clock import Clock
from chassis.metrics import Values, reading

UNKNOWN: Values = {}


@contextmanager
def telling(
    *, passwords: Argon2Passwords, attempts: WindowedAttempts, signer: TokenSigner, clock: Clock
) -> Iterator[None]:
    """Tell how passwords, attempts and keys stand, until the block is left."""
    with (
        reading(
            "bourse_auth_passwords_waiting", "Passwords being checked or waiting for it.", lambda: passwords.waiting
        ),
        reading(
            "bourse_auth_attempts_shared",
            "Whether replicas count attempts together: 1, or 0 without Redis and while it is away.",
            lambda: float(attempts.are_shared),
        ),
        reading("bourse_auth_keys_published", "Keys that verify tokens.", lambda: len(signer.published_keys())),
        reading(
            "bourse_auth_newest_key_age_seconds",
            "Time since the newest signing key was made; absent when AUTH_SIGNING_KEY_FILE gives the keys.",
            lambda: _age_of_newest(signer, clock),
        ),
    ):
        yield


def _age_of_newest(signer: TokenSigner, clock: Clock) -> Values:
    made_at = signer.newest_key_at
    return UNKNOWN if made_at is None else (clock.now() - made_at).total_seconds()
