"""Which signing key signs now, and which public keys are still needed: the rules of key rotation.

A new key is published before it signs, so that every verifier knows it when the first token arrives; an old one stays
published until the last token it signed has expired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies a token.

    Attributes:
        id: a token's `kid` header: the RFC 7638 thumbprint of the key.
        raw: the Ed25519 public key, 32 bytes.
    """

    id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class DatedKey:
    """A key and when it was made."""

    public: PublicKey
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """How keys take turns.

    Attributes:
        publish_ahead: how long a new key is published before it signs.
        token_lifetime: how long a token that an old key signed last may still be presented.
    """

    publish_ahead: timedelta
    token_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class StandingKeys:
    """The keys in use at one moment.

    Attributes:
        signing: the one that signs.
        published: those that verifiers need, the signing one first, the others newest first.
    """

    signing: PublicKey
    published: tuple[PublicKey, ...]


def standing_keys(keys: Sequence[DatedKey], now: datetime, policy: RotationPolicy) -> StandingKeys:
    """Return the keys in use at `now`.

    Args:
        keys: at least one key, in any order.
        now: the moment asked about.
        policy: how keys take turns.
    """
    by_age = sorted(keys, key=lambda key: (key.created_at, key.public.id))
    active_from = [_active_from(index, key, policy) for index, key in enumerate(by_age)]
    # A clock that was set back finds no active key: the oldest one then signs, as it did before.
    signing_index = max((index for index, start in enumerate(active_from) if start <= now), default=0)
    superseded_at = [*active_from[1:], None]
    others = [
        key.public
        for index, (key, end) in enumerate(zip(by_age, superseded_at, strict=True))
        if index != signing_index and (end is None or now < end + policy.token_lifetime)
    ]
    signing = by_age[signing_index].public
    return StandingKeys(signing=signing, published=(signing, *reversed(others)))


def _active_from(index: int, key: DatedKey, policy: RotationPolicy) -> datetime:
    # The first key has nobody to wait for it: without it there are no tokens at all.
    return key.created_at if index == 0 else key.created_at + policy.publish_ahead
