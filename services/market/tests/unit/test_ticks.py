import zlib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from market.domain.ticks import SHARDS, Tick, microseconds_of, moment_of, shard_of


@given(st.text(max_size=40))
def test_a_shard_is_the_checksum_of_the_id_modulo_sixteen(instrument: str) -> None:
    assert shard_of(instrument) == zlib.crc32(instrument.encode()) % 16
    assert 0 <= shard_of(instrument) < SHARDS


def test_the_shards_are_a_contract_between_services() -> None:
    assert [shard_of(each) for each in ("NSE:TCS", "NASDAQ:AAPL", "INDEX:NIFTY50", "FX:EURUSD")] == [11, 7, 4, 4]


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_as_microseconds(moment: datetime) -> None:
    assert moment_of(microseconds_of(moment)) == moment


def test_a_tick_says_when_it_was_made() -> None:
    assert Tick("NSE:TCS", 1.0, 1_500_000).at == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
