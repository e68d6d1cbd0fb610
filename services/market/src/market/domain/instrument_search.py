"""Finds instruments by the beginning of a symbol, the words of a name, or any of their other names."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from chassis.errors import Code, ServiceError
from market.domain.aliases import InstrumentNames
from market.domain.instruments import Instrument
from market.domain.limits import read_limit

MAX_QUERY_LENGTH = 64
DEFAULT_LIMIT = 10
# Shorter beginnings of an ISIN say a country and little more.
SHORTEST_ISIN_PART = 6

_WORD = re.compile(r"[A-Z0-9&]+")


class QueryInvalid(ServiceError):
    """Nothing can be looked for."""

    code = Code.INVALID_ARGUMENT
    reason = "QUERY_INVALID"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the query {problem}; it should be 1 to {MAX_QUERY_LENGTH} characters of a symbol or a name")


class _Match(IntEnum):
    """How well an instrument fits, the best first."""

    IS_NAMED_SO = 0
    SYMBOL_BEGINS = 1
    NAME_BEGINS = 2
    WORDS_BEGIN = 3
    ISIN_BEGINS = 4


@dataclass(frozen=True, slots=True)
class _Entry:
    instrument: Instrument
    names: frozenset[str]
    isin: str
    # The words of the name, each after a space: a word that begins with `TAT` is where ` TAT` is.
    words: str
    # What puts equally good matches in order: short symbols first, then as the directory has them.
    order: tuple[int, int]


class InstrumentSearch:
    """Looks through all instruments of a directory; some hundred microseconds for a thousand.

    Args:
        names: the instruments and what else they are called.
    """

    def __init__(self, names: InstrumentNames) -> None:
        self._entries = [_entry(names, each, position) for position, each in enumerate(names.instruments)]

    def search(self, query: str, limit: int = 0) -> Sequence[Instrument]:
        """Return up to `limit` instruments (1 to 50; 0 means 10), the best match first; always in the same order.

        Best is who is named exactly so, then whose symbol begins so, then whose name does, then in whose name every
        word of the query begins a word, then whose ISIN begins so. Nothing but marks finds nothing.

        Raises:
            QueryInvalid: it is empty or too long.
            LimitInvalid: the limit is not 0 to 50.
        """
        if not query.strip():
            raise QueryInvalid("is empty")
        if len(query) > MAX_QUERY_LENGTH:
            raise QueryInvalid(f"has {len(query)} characters")
        count = read_limit(limit, default=DEFAULT_LIMIT)
        wanted = _plain(query.strip())
        parts = [f" {word}" for word in _WORD.findall(wanted)]
        if not parts:
            return []
        matches = ((_match(entry, wanted, parts), entry) for entry in self._entries)
        found = sorted(
            (match, entry.order, position) for position, (match, entry) in enumerate(matches) if match is not None
        )
        return [self._entries[position].instrument for _, _, position in found[:count]]


def _entry(names: InstrumentNames, instrument: Instrument, position: int) -> _Entry:
    aliases = names.of(instrument)
    return _Entry(
        instrument=instrument,
        names=frozenset({instrument.id, instrument.symbol, *(name.upper() for name in aliases.names)}),
        isin=aliases.isin or "",
        words=_after_spaces(_WORD.findall(_plain(instrument.name))),
        order=(len(instrument.symbol), position),
    )


def _match(entry: _Entry, wanted: str, parts: Sequence[str]) -> _Match | None:
    if wanted in entry.names:
        return _Match.IS_NAMED_SO
    if entry.instrument.symbol.startswith(wanted) or (":" in wanted and entry.instrument.id.startswith(wanted)):
        return _Match.SYMBOL_BEGINS
    if parts[0] in entry.words and all(part in entry.words for part in parts):
        return _Match.NAME_BEGINS if entry.words.startswith(parts[0]) else _Match.WORDS_BEGIN
    if len(wanted) >= SHORTEST_ISIN_PART and entry.isin.startswith(wanted):
        return _Match.ISIN_BEGINS
    return None


def _after_spaces(words: Sequence[str]) -> str:
    return "".join(f" {word}" for word in words)


def _plain(text: str) -> str:
    """Return a text in upper case without accents, so that `estee` finds `Estée`."""
    return "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark)).upper()
