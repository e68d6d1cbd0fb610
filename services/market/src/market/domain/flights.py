"""Single flight: whoever asks for what is being fetched waits for that, and whoever stops waiting cancels nobody."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Flights(Generic[Value]):
    """What is being fetched, by key. A flight is a task of its own and lands whether or not somebody waits."""

    def __init__(self) -> None:
        self._by_key: dict[str, asyncio.Task[Mapping[str, Value]]] = {}

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the keys that no flight brings."""
        return [key for key in keys if key not in self._by_key]

    def bring(
        self, keys: Iterable[str], take_off: Callable[[list[str]], Coroutine[Any, Any, Mapping[str, Value]]]
    ) -> "set[asyncio.Task[Mapping[str, Value]]]":
        """Return the flights that bring the keys; one takes off with all that none brings yet."""
        wanted = list(keys)
        missing = self.missing(wanted)
        if missing:
            flight = asyncio.create_task(take_off(missing))
            self._by_key |= dict.fromkeys(missing, flight)
            flight.add_done_callback(partial(self._land, missing))
        return {self._by_key[key] for key in wanted}

    async def fetch(
        self, keys: Iterable[str], take_off: Callable[[list[str]], Coroutine[Any, Any, Mapping[str, Value]]]
    ) -> Mapping[str, Value]:
        """Return what the flights of the keys bring, however long that takes; a flight may bring other keys too."""
        flights = self.bring(keys, take_off)
        answers = await asyncio.gather(*(asyncio.shield(flight) for flight in flights))
        return {key: value for answer in answers for key, value in answer.items()}

    @property
    def under_way(self) -> "set[asyncio.Task[Mapping[str, Value]]]":
        """Return the flights that have not landed."""
        return set(self._by_key.values())

    def _land(self, keys: Iterable[str], flight: "asyncio.Task[Mapping[str, Value]]") -> None:
        for key in keys:
            del self._by_key[key]
        with suppress(asyncio.CancelledError):
            flight.exception()  # asked for, so that a failure nobody waits for any more is not complained about
