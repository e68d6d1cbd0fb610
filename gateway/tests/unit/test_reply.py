import asyncio
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from bourse.alerts.v1 import alerts_pb2
from bourse.auth.v1 import accounts_pb2
from bourse.brokers.v1 import brokers_pb2
from bourse.market.v1 import quotes_pb2, snapshot_pb2
from bourse.portfolio.v1 import pnl_pb2
from gateway.models.alerts import Alert
from gateway.models.auth import User
from gateway.models.indices import Snapshot
from gateway.models.prices import LivePrice
from gateway.reply import (
    ROWS_IN_TURN,
    Amount,
    CamelReply,
    FieldNotInMessage,
    From,
    Money,
    Price,
    Quantity,
    Reply,
    Shared,
    camel_case,
    name_of_message,
    read_in_turns,
    reader_of,
    rfc3339,
    rounded,
    rows_of,
)

NOW = datetime(2026, 4, 7, 9, 0, 0, 123456, tzinfo=UTC)


def a_quote() -> quotes_pb2.Quote:
    quote = quotes_pb2.Quote(instrument="NSE:TCS", symbol="tcs", name="TCS", last_price=3842.5, currency="INR")
    quote.provenance.source = "zerodha"
    quote.provenance.freshness = quotes_pb2.FRESHNESS_DELAYED
    quote.provenance.as_of.FromDatetime(NOW)
    return quote


def test_fields_are_read_by_name_and_by_path() -> None:
    price = LivePrice.model_validate(a_quote())

    assert price.symbol == "tcs"
    assert price.last_price == 3842.5
    assert price.source == "zerodha"
    assert price.freshness == "delayed"
    assert price.as_of == "2026-04-07T09:00:00.123456Z"


def test_absent_optional_fields_become_null() -> None:
    price = LivePrice.model_validate(a_quote())

    assert price.change is None
    assert price.change_pct is None
    assert price.volume is None


def test_zero_is_not_absent() -> None:
    quote = a_quote()
    quote.change = 0.0
    quote.volume = 0

    price = LivePrice.model_validate(quote)

    assert price.change == 0.0
    assert price.volume == 0


def test_a_path_through_an_absent_message_is_null() -> None:
    reply = snapshot_pb2.GetSnapshotResponse()
    reply.market.as_of.FromDatetime(NOW)

    snapshot = Snapshot.model_validate(reply)

    assert snapshot.nifty_price is None
    assert snapshot.sensex_change is None
    assert snapshot.source is None


def test_time_in_india_is_written_with_its_offset() -> None:
    reply = snapshot_pb2.GetSnapshotResponse()
    reply.market.as_of.FromDatetime(NOW)

    assert Snapshot.model_validate(reply).market.as_of_ist == "2026-04-07T14:30:00+05:30"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_has_no_value(value: float) -> None:
    quote = a_quote()
    quote.change_percent = value

    assert LivePrice.model_validate(quote).change_pct is None


def test_numbers_have_no_binary_artefacts() -> None:
    quote = a_quote()
    quote.change = 3842.5 - 3830.2
    quote.change_percent = 0.32112

    price = LivePrice.model_validate(quote)

    assert price.model_dump_json().count("12.3,") == 1
    assert price.change_pct == 0.32


def test_an_unspecified_enum_value_is_null() -> None:
    quote = a_quote()
    quote.provenance.freshness = quotes_pb2.FRESHNESS_UNSPECIFIED

    assert LivePrice.model_validate(quote).freshness is None


def test_money_travels_as_a_number() -> None:
    alert = alerts_pb2.Alert(id="a", type=alerts_pb2.ALERT_TYPE_BUY, symbol="TCS", instrument="NSE:TCS", price="150.10")
    alert.created_at.FromDatetime(NOW)

    reply = Alert.model_validate(alert)

    assert reply.price == Decimal("150.10")
    assert '"price":150.1,' in reply.model_dump_json()


def test_a_password_account_has_a_number_and_googles_never() -> None:
    user = accounts_pb2.User(id="42", identity_provider=accounts_pb2.IDENTITY_PROVIDER_PASSWORD, email="a@b.example")
    user.created_at.FromDatetime(NOW)
    google = accounts_pb2.User(
        id="112233445566778899001", identity_provider=accounts_pb2.IDENTITY_PROVIDER_GOOGLE, email="a@b.example"
    )
    google.created_at.FromDatetime(NOW)

    assert User.model_validate(user).id == 42
    assert User.model_validate(google).id == "112233445566778899001"


def test_a_reply_that_reads_what_its_message_lacks_is_found_when_compiled() -> None:
    class Wrong(Reply):
        price: Annotated[float, From("provenance.price")]

    with pytest.raises(FieldNotInMessage, match=r"Wrong reads provenance\.price, which bourse.market.v1.Quote"):
        reader_of(Wrong, quotes_pb2.Quote.DESCRIPTOR)


def test_a_reader_is_compiled_once() -> None:
    assert reader_of(LivePrice, quotes_pb2.Quote.DESCRIPTOR) is reader_of(LivePrice, quotes_pb2.Quote.DESCRIPTOR)


def test_a_reply_can_be_built_by_hand() -> None:
    class Level(Reply):
        price: Money

    assert Level(price=Decimal("1.5")).model_dump_json() == '{"price":1.5}'


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year >= 1970))
def test_times_survive_being_written(aware: datetime) -> None:
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)

    written = rfc3339(since.days * 86_400 + since.seconds, since.microseconds)

    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == aware


def test_rounding_leaves_no_negative_zero() -> None:
    assert str(rounded(-0.001, 2)) == "0.0"


def test_a_list_of_enum_values_becomes_their_names() -> None:
    point = pnl_pb2.PnlPoint(brokers=[brokers_pb2.BROKER_ZERODHA, brokers_pb2.BROKER_ICICI])

    class Brokers(Reply):
        brokers: list[str]

    assert Brokers.model_validate(point).brokers == ["zerodha", "icici"]


@pytest.mark.parametrize(
    ("text", "json"), [("10", "10"), ("10.00", "10"), ("-75", "-75"), ("0.5", "0.5"), ("1E+3", "1000"), ("0.3", "0.3")]
)
def test_a_quantity_is_whole_where_it_is(text: str, json: str) -> None:
    class Row(Reply):
        quantity: Quantity

    assert Row(quantity=Decimal(text)).model_dump_json() == f'{{"quantity":{json}}}'


@pytest.mark.parametrize(
    ("name", "json"),
    [
        ("price", "price"),
        ("price_avg50", "priceAvg50"),
        ("net_cash_provided_by_operating_activities", "netCashProvidedByOperatingActivities"),
        ("weighted_average_shs_out_dil", "weightedAverageShsOutDil"),
        ("is_etf", "isEtf"),
    ],
)
def test_fields_become_camel_case(name: str, json: str) -> None:
    assert camel_case(name) == json


def test_a_name_of_its_own_wins_over_camel_case() -> None:
    class Row(CamelReply):
        last_price: float
        as_of: Annotated[str, Field(serialization_alias="as_of")]

    assert Row(last_price=1.5, as_of="x").model_dump_json(by_alias=True) == '{"lastPrice":1.5,"as_of":"x"}'


def test_rows_bring_what_their_answer_says_once() -> None:
    class Level(Reply):
        symbol: Annotated[str, Shared()]
        price: float

    levels = [snapshot_pb2.IndexLevel(price=1.0), snapshot_pb2.IndexLevel(price=2.0)]

    read = [Level.model_validate(row) for row in rows_of(levels, symbol="nifty")]

    assert read == [Level(symbol="nifty", price=1.0), Level(symbol="nifty", price=2.0)]
    with pytest.raises(ValidationError, match="symbol"):
        Level.model_validate(levels[0])


async def test_many_rows_are_read_a_few_at_a_time_and_others_take_their_turn_in_between() -> None:
    class Level(Reply):
        price: float

    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    read = await read_in_turns(Level, [snapshot_pb2.IndexLevel(price=float(number)) for number in range(1_001)])
    other.cancel()

    assert [each.price for each in read] == list(range(1_001))
    assert turns >= 1_001 // ROWS_IN_TURN


def test_a_branch_is_named_by_its_message_and_by_itself() -> None:
    class Quote(Reply):
        symbol: str

    assert name_of_message(a_quote()) == name_of_message(Quote(symbol="TCS")) == "Quote"


@pytest.mark.parametrize(
    ("value", "json"), [(85e9, "85000000000"), (0.0, "0"), (-3.0, "-3"), (0.26, "0.26"), (1e300, str(int(1e300)))]
)
def test_an_amount_is_whole_where_it_is(value: float, json: str) -> None:
    class Row(Reply):
        amount: Amount

    assert Row(amount=value).model_dump_json() == f'{{"amount":{json}}}'


def test_a_price_has_no_binary_artefacts() -> None:
    class Row(Reply):
        price: Price

    assert Row(price=0.1 + 0.2).model_dump_json() == '{"price":0.3}'
