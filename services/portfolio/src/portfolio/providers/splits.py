"""What happened to instruments' units, asked of market."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from fractions import Fraction

import grpc

from bourse.market.v1 import corporate_actions_pb2, corporate_actions_pb2_grpc
from portfolio.domain.market import MarketUnavailable
from portfolio.domain.splits import Split
from portfolio.providers.refusals import no_answer

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 1.5
INSTRUMENTS_AT_ONCE = 1_000


class MarketSplits:
    """Asks market's corporate action service, at most 1,000 instruments a call."""

    def __init__(self, stub: "corporate_actions_pb2_grpc.CorporateActionServiceAsyncStub") -> None:
        self._stub = stub

    async def since(self, instruments: Collection[str], first: date) -> Mapping[str, Sequence[Split]]:
        """Return the splits of every instrument from a first ex-date on, an empty list for one without.

        Raises:
            MarketUnavailable: market did not answer in time, failed, or answered what is no split.
        """
        ordered = list(instruments)
        portions = [ordered[n : n + INSTRUMENTS_AT_ONCE] for n in range(0, len(ordered), INSTRUMENTS_AT_ONCE)]
        answers = await asyncio.gather(*(self._ask(portion, first) for portion in portions))
        found: dict[str, list[Split]] = {instrument: [] for instrument in ordered}
        for message in (split for answer in answers for split in answer):
            found.setdefault(message.instrument, []).append(_split_of(message))
        return found

    async def _ask(self, instruments: Sequence[str], first: date) -> Sequence[corporate_actions_pb2.Split]:
        request = corporate_actions_pb2.ListSplitsRequest(instruments=instruments, from_date=first.isoformat())
        try:
            response = await self._stub.ListSplits(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise no_answer(error, asked_for="splits") from error
        return response.splits


def _split_of(message: corporate_actions_pb2.Split) -> Split:
    if message.new_units <= 0 or message.old_units <= 0:
        raise _no_split(message)
    try:
        return Split(date.fromisoformat(message.ex_date), Fraction(message.new_units, message.old_units))
    except ValueError as error:
        raise _no_split(message) from error


def _no_split(message: corporate_actions_pb2.Split) -> MarketUnavailable:
    log.warning("market lists what is no split", extra={"instrument": message.instrument})
    return MarketUnavailable()
