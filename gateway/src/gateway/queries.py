"""What a route takes of a query: the names it reads, each once, and no others.

The framework passes over what a route does not read and takes the last of what is given twice: `?symbol=NSE:TCS` on the
route that deletes all alerts deleted all of them.
"""

import re
from collections.abc import Collection, Iterable

from fastapi import Depends
from fastapi.dependencies.models import Dependant

from gateway.errors import InvalidRequest

# Longer than any name of ours. What looks otherwise is not repeated: it may be a secret pasted in the wrong place.
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,24}")


class UnknownParameter(InvalidRequest):
    """A query gives a name that its route does not read."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        what = f"Unknown parameter: {name}" if _NAME.fullmatch(name) else "Unknown parameter"
        possible = f"known: {', '.join(sorted(known))}" if known else "none is known here"
        super().__init__(f"{what} ({possible})")


class ParameterRepeated(InvalidRequest):
    """A query gives a name twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: must be given once")


async def _any_names() -> None:
    """Do nothing: who depends on it is known by it."""


ANY_NAMES = Depends(_any_names)
"""Lets a route be asked with names that it does not read: pages, probes, and what others' programs call."""


def takes_any_names(dependant: Dependant) -> bool:
    """Say whether a route may be asked with names that it does not read, by its signature."""
    return dependant.call is _any_names or any(takes_any_names(each) for each in dependant.dependencies)


def query_names(dependant: Dependant) -> frozenset[str]:
    """Return the names in the query that a route reads."""
    own = {field.field_info.alias or field.name for field in dependant.query_params}
    return frozenset(own.union(*(query_names(each) for each in dependant.dependencies)))


def check_names(given: Iterable[str], known: frozenset[str], *, takes_any: bool) -> None:
    """Look at the names of a query.

    Raises:
        UnknownParameter: one is not among the known, and not any is taken.
        ParameterRepeated: a known one is given twice.
    """
    seen: set[str] = set()
    for name in given:
        if name in seen:
            raise ParameterRepeated(name)
        if name in known:
            seen.add(name)
        elif not takes_any:
            raise UnknownParameter(name, known)
