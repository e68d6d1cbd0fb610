"""Answers what a user holds, has open and has won or lost, at the prices of now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chassis.clock import Clock
from chassis.errors import Code, ServiceError
from portfolio.domain.days import day_in_india
from portfolio.domain.market import Market
from portfolio.domain.ports import PortfolioStore
from portfolio.domain.rows import PositionType, Sync, SyncedRows
from portfolio.domain.snapshots import TrendPoint, ValuedRows, trend_of, value_all
from portfolio.domain.users import require_user_id
from portfolio.domain.valuation import (
    HoldingSums,
    PositionSums,
    ValuedHolding,
    ValuedPosition,
    sum_holdings,
    sum_positions,
)

MAX_DAYS = 365


class DaysInvalid(ServiceError):
    """A trend reaches back by a number of days that it cannot."""

    code = Code.INVALID_ARGUMENT
    reason = "DAYS_INVALID"

    def __init__(self, days: int) -> None:
        super().__init__(f"{days} days were asked for; a trend has 1 to {MAX_DAYS}")


@dataclass(frozen=True, slots=True)
class Holdings:
    """All holdings by broker and in the broker's order, their sums, and the syncs that brought them."""

    rows: Sequence[ValuedHolding]
    sums: HoldingSums
    syncs: Sequence[Sync]


@dataclass(frozen=True, slots=True)
class Positions:
    """The positions asked for by broker and in the broker's order, their sums, and the syncs that brought them."""

    rows: Sequence[ValuedPosition]
    sums: PositionSums
    syncs: Sequence[Sync]


@dataclass(frozen=True, slots=True)
class Pnl:
    """The P&L as it stands, and the days before, oldest first."""

    holdings: HoldingSums
    positions: PositionSums
    trend: Sequence[TrendPoint]
    syncs: Sequence[Sync]


class Portfolios:
    """Reads portfolios.

    Args:
        store: holds what brokers said.
        market: says what it is worth.
        clock: says which day it is.
    """

    def __init__(self, store: PortfolioStore, market: Market, clock: Clock) -> None:
        self._store = store
        self._market = market
        self._clock = clock

    async def list_holdings(self, user_id: str) -> Holdings:
        """Return a user's holdings; none, and no syncs, for one who never synced.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        valued = await self._valued(await self._store.holdings_of(user_id))
        rows = _holdings_in(valued)
        return Holdings(rows, sum_holdings(rows), _syncs_of(valued))

    async def list_positions(self, user_id: str, of_type: PositionType | None) -> Positions:
        """Return a user's positions of one type, or of both when it is None; none for one who never synced.

        The sums are of both types, whichever is asked for.

        Raises:
            UserIdInvalid: no user has such an id.
        """
        require_user_id(user_id)
        valued = await self._valued(await self._store.positions_of(user_id))
        positions = _positions_in(valued)
        rows = [each for each in positions if of_type in (None, each.row.type)]
        return Positions(rows, sum_positions(positions), _syncs_of(valued))

    async def pnl(self, user_id: str, days: int) -> Pnl:
        """Return a user's P&L now, and of each of the last days, today included, that has a snapshot.

        Raises:
            UserIdInvalid: no user has such an id.
            DaysInvalid: there is no trend of so many days.
        """
        require_user_id(user_id)
        if not 1 <= days <= MAX_DAYS:
            raise DaysInvalid(days)
        today = day_in_india(self._clock.now())
        first = today - timedelta(days=days - 1)
        brokers, snapshots = await self._store.trend_of(user_id, first=first, last=today)
        valued = await self._valued(brokers)
        holdings, positions = sum_holdings(_holdings_in(valued)), sum_positions(_positions_in(valued))
        return Pnl(holdings, positions, trend_of(snapshots), _syncs_of(valued))

    async def _valued(self, brokers: Sequence[SyncedRows]) -> Sequence[ValuedRows]:
        view = await self._market.view(brokers, day=day_in_india(self._clock.now()))
        return await value_all(brokers, view)


def _holdings_in(valued: Sequence[ValuedRows]) -> Sequence[ValuedHolding]:
    return [holding for rows in valued for holding in rows.holdings]


def _positions_in(valued: Sequence[ValuedRows]) -> Sequence[ValuedPosition]:
    return [position for rows in valued for position in rows.positions]


def _syncs_of(valued: Sequence[ValuedRows]) -> Sequence[Sync]:
    return [rows.sync for rows in valued]
