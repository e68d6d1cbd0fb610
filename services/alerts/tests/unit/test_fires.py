from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.alerts import AlertType
from alerts.domain.deliveries import Channel, Delivery, DeliveryState, FireId
from alerts.domain.desk import UserIdInvalid
from alerts.domain.fires import CursorInvalid, Fire, FireCursor, LimitInvalid
from alerts.domain.history import History
from alerts.domain.positions import Position
from alerts.domain.tape import EvaluatedTick

START = datetime(2026, 1, 5, 9, 15, tzinfo=UTC)


def make_fire(alert_id: int) -> Fire:
    tick = EvaluatedTick(149.5, START, "sample", "feed", 7, 3, 9, Position(1, 9))
    committed_at = START + timedelta(seconds=alert_id)
    return Fire(
        alert_id=alert_id,
        generation=1,
        type=AlertType.BUY,
        instrument="NSE:TCS",
        symbol="TCS",
        price=Decimal(150),
        tick=tick,
        before=None,
        committed_at=committed_at,
        crossed_during_gap=False,
        note=None,
    )


class StoredFires:
    """Fires of user 7, newest first."""

    def __init__(self, count: int) -> None:
        self.fires = [make_fire(number) for number in range(count, 0, -1)]

    async def list_of(self, user_id: str, *, limit: int, after: FireCursor | None) -> Sequence[Fire]:
        assert user_id == "7"
        behind = [each for each in self.fires if after is None or each.committed_at < after.committed_at]
        return behind[:limit]

    async def find(self, alert_id: int, generation: int) -> Fire | None:
        raise NotImplementedError


class StoredDeliveries:
    """What was told of the fires of one alert."""

    def __init__(self, alert_id: int, *told: Delivery) -> None:
        self.told = {FireId(alert_id, 1): told}

    async def of_fires(self, fire_ids: Sequence[FireId]) -> Mapping[FireId, Sequence[Delivery]]:
        assert fire_ids
        return self.told


def history_of(count: int) -> History:
    told = Delivery(Channel.EVENT, DeliveryState.SENT, "2:1", sent_at=START, attempts=1)
    return History(StoredFires(count), StoredDeliveries(2, told), sender="Bourse <bourse@example.com>")


async def walk(history: History, limit: int) -> list[list[int]]:
    pages, cursor = [], ""
    while True:
        page = await history.list_fires("7", limit=limit, cursor=cursor)
        pages.append([fire.alert_id for fire in page.fires])
        if page.next_cursor is None:
            return pages
        cursor = page.next_cursor.written


@pytest.mark.parametrize(
    ("count", "limit", "sizes"), [(0, 5, [0]), (5, 5, [5]), (6, 5, [5, 1]), (45, 0, [20, 20, 5]), (3, 1, [1, 1, 1])]
)
async def test_pages_hold_every_fire_once(count: int, limit: int, sizes: list[int]) -> None:
    pages = await walk(history_of(count), limit)
    assert [len(page) for page in pages] == sizes
    assert [number for page in pages for number in page] == list(range(count, 0, -1))


@pytest.mark.parametrize("limit", [-1, 51])
async def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(LimitInvalid, match="1 to 50"):
        await history_of(1).list_fires("7", limit=limit, cursor="")


async def test_an_impossible_user_id_is_refused() -> None:
    with pytest.raises(UserIdInvalid):
        await history_of(1).list_fires("", limit=1, cursor="")


@pytest.mark.parametrize(
    "text",
    ["x", "1-2", "1-2-3-4", "-1-2-3", "1-2-3\n", "1-9223372036854775808-1", "1-2-2147483648", "9999999999999999-1-1"],
)
def test_a_cursor_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(CursorInvalid, match="next_cursor"):
        FireCursor.read(text)


@given(
    seconds=st.integers(0, 5_000_000_000),
    microseconds=st.integers(0, 999_999),
    alert_id=st.integers(0, 2**63 - 1),
    generation=st.integers(1, 2**31 - 1),
)
def test_a_cursor_is_read_as_it_was_written(seconds: int, microseconds: int, alert_id: int, generation: int) -> None:
    moment = START + timedelta(seconds=seconds, microseconds=microseconds)
    cursor = FireCursor(moment, alert_id, generation)
    assert FireCursor.read(cursor.written) == cursor


async def test_a_fire_whose_event_was_not_heard_yet_waits_by_both_channels() -> None:
    history = history_of(3)
    page = await history.list_fires("7", limit=0, cursor="")
    told = await history.deliveries_of(page.fires)
    assert [len(each) for each in told] == [2, 1, 2]
    event, email = told[0]
    assert (event.channel, event.state, event.message_id) == (Channel.EVENT, DeliveryState.WAITING, "3:1")
    assert (email.channel, email.state, email.message_id) == (
        Channel.EMAIL,
        DeliveryState.WAITING,
        "<alert-3-1@example.com>",
    )
    assert told[1][0].sent_at == START


async def test_of_no_fires_nothing_is_asked() -> None:
    assert await history_of(1).deliveries_of([]) == []
