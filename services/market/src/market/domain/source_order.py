"""Which sources answer which kind of question, and in which order, as operators write it."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from market.domain.capabilities import Capability, Source

AnySource = TypeVar("AnySource", bound=Source)


class OrderInvalid(ValueError):
    """The order of sources cannot be followed; the message says which part, and what would be right."""


def parse_order(text: str) -> Mapping[Capability, tuple[str, ...]]:
    """Read `news=fmp,yahoo;quotes=zerodha,yahoo`; capabilities that are not named keep the general order.

    Raises:
        OrderInvalid: a part is not `capability=source,source`, or something is unknown, empty or there twice.
    """
    order: dict[Capability, tuple[str, ...]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        capability, names = _read_part(part)
        if capability in order:
            raise OrderInvalid(f"{capability.value} is ordered twice; write each kind of question once")
        order[capability] = names
    return order


def in_order(
    capability: Capability, sources: Sequence[AnySource], order: Mapping[Capability, Sequence[str]]
) -> Sequence[AnySource]:
    """Return the sources to ask, the preferred one first: all that have the capability, or those that are named.

    Raises:
        OrderInvalid: the order names a source that is not there, or that lacks the capability.
    """
    able = {source.name: source for source in sources if capability in source.capabilities}
    names = order.get(capability, tuple(able))
    lacking = [name for name in names if name not in able]
    if lacking:
        there = ", ".join(able) or "none"
        raise OrderInvalid(f"{capability.value} names {lacking[0]!r}, which does not answer it here; able are: {there}")
    return [able[name] for name in names]


def _read_part(part: str) -> tuple[Capability, tuple[str, ...]]:
    kind, sign, listed = part.partition("=")
    names = tuple(name.strip().lower() for name in listed.split(","))
    if not sign or not all(names):
        raise OrderInvalid(f"{part!r} is not an order of sources; write it like news=fmp,yahoo")
    if len(set(names)) < len(names):
        raise OrderInvalid(f"{part!r} names a source twice")
    return _capability(kind.strip().lower()), names


def _capability(kind: str) -> Capability:
    if kind not in tuple(Capability):
        known = ", ".join(Capability)
        raise OrderInvalid(f"{kind!r} is no kind of question that sources are asked; known are {known}")
    return Capability(kind)
