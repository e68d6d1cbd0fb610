"""Randomness that can be asked for at any place: a hash of what is asked about, never a state that runs along.

The mixer is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

import hashlib
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_MULTIPLIER = np.uint64(0x94D049BB133111EB)
_SIXTEEN_BITS = np.uint64(0xFFFF)


class Purpose(IntEnum):
    """What a draw is for, so that no two purposes share their randomness."""

    VENUE_RETURN = 1
    SECTOR_RETURN = 2
    COMPANY_RETURN = 3
    HIGH = 4
    LOW = 5
    VOLUME = 6
    VOLATILITY = 7
    TURNOVER = 8
    PHASE = 9
    HIGH_PLACE = 10
    LOW_PLACE = 11
    PATH = 12
    BRIDGE = 13
    JITTER = 14
    PAST = 15
    GROWTH = 16
    TRAIT = 17
    BOOKS = 18
    ESTIMATE = 19
    RATING = 20
    ARTICLE = 21
    YIELD = 22
    AFTER_MARKET = 23


def key_of(text: str) -> np.uint64:
    """Return a 64-bit key of a name, the same in every process."""
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def hashed(*parts: npt.ArrayLike) -> Hashes:
    """Return a hash of the parts, which are non-negative integers or earlier hashes and broadcast together."""
    result = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            mixed = (result ^ np.asarray(part).astype(np.uint64)) + _GAMMA
            mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST_MULTIPLIER
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND_MULTIPLIER
            result = mixed ^ (mixed >> np.uint64(31))
    return np.asarray(result)


def uniform(hashes: Hashes) -> Floats:
    """Return numbers in [0, 1), evenly spread."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(hashes: Hashes) -> Floats:
    """Return numbers of mean 0 and variance 1 within ±3.47, close to normal: the sum of four even draws."""
    total = np.zeros(hashes.shape)
    for shift in (0, 16, 32, 48):
        total += (hashes >> np.uint64(shift)) & _SIXTEEN_BITS
    return np.asarray((total / 0xFFFF - 2.0) * np.sqrt(3.0))
