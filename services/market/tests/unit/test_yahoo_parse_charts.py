import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market.domain.capabilities import NothingKnown
from market.domain.companies import Dividend
from market.domain.history import DailyHistory
from market.domain.instruments import Instrument
from market.domain.splits import Split
from market.domain.treasury import TreasuryRates
from market.providers.reference.listing import read_listing
from market.providers.yahoo.parse_charts import daily_history_of, dividends_of, intraday_bars_of, treasury_rates_of
from market.providers.yahoo.wire import AnswerUnreadable

BY_ID = {each.instrument.id: each.instrument for each in read_listing()}
APPLE, EURO, SP500 = (BY_ID[each] for each in ("NASDAQ:AAPL", "FX:EURUSD", "INDEX:SP500"))
NEW_YORK, LONDON = ZoneInfo("America/New_York"), ZoneInfo("Europe/London")
LONG_AGO, FAR_AHEAD = date(2000, 1, 1), date(2100, 1, 1)
NULL = (None, None, None, None, None)
Values = Sequence[float | int | None]


def seconds(*moment: int, zone: ZoneInfo = NEW_YORK) -> int:
    return int(datetime(*moment, tzinfo=zone).timestamp())  # type: ignore[misc,arg-type]


def opening(day: date) -> int:
    return seconds(day.year, day.month, day.day, 9, 30)


def chart(
    times: Sequence[int],
    values: Sequence[Values],
    *,
    zone: str = "America/New_York",
    session: tuple[int, int] | None = None,
    **more: Any,
) -> Any:
    """A chart of bars, `open, high, low, close, volume` each, in Yahoo's wire form."""
    meta: dict[str, Any] = {
        "currency": "USD",
        "exchangeTimezoneName": zone,
        "gmtoffset": -18000,
        **more.pop("meta", {}),
    }
    if session is not None:
        regular = {"timezone": "EST", "start": session[0], "end": session[1], "gmtoffset": -18000}
        meta["currentTradingPeriod"] = {"regular": regular}
    names = ("open", "high", "low", "close", "volume")
    columns = {name: [each[place] for each in values] for place, name in enumerate(names)}
    result: dict[str, Any] = {"meta": meta, "indicators": {"quote": [columns if times else {}]}, **more}
    if times:
        result["timestamp"] = list(times)
    return json.loads(json.dumps({"chart": {"result": [result], "error": None}}))


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=place) for place in range(count)]


# Tuesday to Thursday, with the session of Thursday the last that Yahoo knows of.
THREE_DAYS = days(date(2026, 1, 13), 3)
THREE_BARS = [(10.0 + place, 12.0 + place, 9.0 + place, 11.0 + place, 1000 + place) for place in range(3)]
THURSDAY = (seconds(2026, 1, 15, 9, 30), seconds(2026, 1, 15, 16))
FRIDAY = datetime(2026, 1, 16, 12, tzinfo=UTC)


def history(answer: Any, instrument: Instrument = APPLE, **bounds: Any) -> DailyHistory:
    return daily_history_of(answer, instrument, **({"first": LONG_AGO, "last": FAR_AHEAD, "now": FRIDAY} | bounds))


def sessions(answer: Any, instrument: Instrument = APPLE, **bounds: Any) -> list[date]:
    return [each.astype(date) for each in history(answer, instrument, **bounds).bars.sessions]


class TestDays:
    def test_finished_sessions_are_bars(self) -> None:
        bars = history(chart([opening(day) for day in THREE_DAYS], THREE_BARS, session=THURSDAY)).bars
        assert [each.astype(date) for each in bars.sessions] == THREE_DAYS
        assert (list(bars.open), list(bars.high)) == ([10, 11, 12], [12, 13, 14])
        assert (list(bars.low), list(bars.close)) == ([9, 10, 11], [11, 12, 13])
        assert bars.volume is not None
        assert list(bars.volume) == [1000, 1001, 1002]

    def test_both_dates_are_with_and_others_are_not(self) -> None:
        answer = chart([opening(day) for day in THREE_DAYS], THREE_BARS, session=THURSDAY)
        assert sessions(answer, first=THREE_DAYS[1], last=THREE_DAYS[1]) == [THREE_DAYS[1]]

    @pytest.mark.parametrize(
        ("now", "count"),
        [
            (datetime(2026, 1, 15, 20, 59, tzinfo=UTC), 2),
            (datetime(2026, 1, 15, 21, 29, tzinfo=UTC), 2),
            (datetime(2026, 1, 15, 21, 30, tzinfo=UTC), 3),
        ],
    )
    def test_a_session_has_a_bar_half_an_hour_after_its_close(self, now: datetime, count: int) -> None:
        answer = chart([opening(day) for day in THREE_DAYS], THREE_BARS, session=THURSDAY)
        assert sessions(answer, now=now) == THREE_DAYS[:count]

    def test_half_days_are_over_earlier(self) -> None:
        day = date(2025, 11, 28)
        half = (opening(day), seconds(2025, 11, 28, 13))
        answer = chart([opening(day)], THREE_BARS[:1], session=half)
        assert sessions(answer, now=datetime(2025, 11, 28, 18, 29, tzinfo=UTC)) == []
        assert sessions(answer, now=datetime(2025, 11, 28, 18, 30, tzinfo=UTC)) == [day]

    def test_without_a_session_today_is_not_over(self) -> None:
        answer = chart([opening(day) for day in THREE_DAYS], THREE_BARS)
        # Still Thursday in New York.
        assert sessions(answer, now=datetime(2026, 1, 16, 4, 59, tzinfo=UTC)) == THREE_DAYS[:2]
        assert sessions(answer, now=datetime(2026, 1, 16, 5, tzinfo=UTC)) == THREE_DAYS

    @pytest.mark.parametrize(
        "gap", [NULL, (None, 12.0, 9.0, 11.0, 5), (10.0, 12.0, 9.0, float("nan"), 5), (0.0, 12.0, 9.0, 11.0, 5)]
    )
    def test_bars_with_gaps_are_left_out(self, gap: Values) -> None:
        answer = chart([opening(day) for day in THREE_DAYS], [THREE_BARS[0], gap, THREE_BARS[2]], session=THURSDAY)
        assert sessions(answer) == [THREE_DAYS[0], THREE_DAYS[2]]

    def test_a_bar_without_a_volume_is_left_out_where_others_have_one(self) -> None:
        values = [THREE_BARS[0], (*THREE_BARS[1][:4], None), THREE_BARS[2]]
        answer = chart([opening(day) for day in THREE_DAYS], values, session=THURSDAY)
        assert sessions(answer) == [THREE_DAYS[0], THREE_DAYS[2]]

    def test_where_nobody_counts_there_is_no_volume(self) -> None:
        values = [(*each[:4], 0) for each in THREE_BARS]
        answer = chart([opening(day) for day in THREE_DAYS], values, session=THURSDAY)
        assert history(answer, SP500).bars.volume is None
        assert len(history(answer, SP500).bars) == 3

    def test_of_two_bars_of_a_day_the_later_counts(self) -> None:
        times = [opening(THREE_DAYS[2]), THURSDAY[1]]
        bars = history(chart(times, THREE_BARS[:2], session=THURSDAY)).bars
        assert list(bars.close) == [12]

    def test_summer_time_moves_no_day(self) -> None:
        # A day of pairs begins at midnight in London: 00:00 UTC before 30 March 2025, 23:00 UTC after it.
        week = [date(2025, 3, 28), date(2025, 3, 31), date(2025, 4, 1)]
        times = [seconds(each.year, each.month, each.day, zone=LONDON) for each in week]
        assert times[1] - times[0] == 71 * 3600
        answer = chart(times, THREE_BARS, zone="Europe/London", session=THURSDAY, meta={"gmtoffset": 0})
        assert sessions(answer, EURO) == week

    def test_the_offset_of_now_is_not_that_of_then(self) -> None:
        # Half past nine is 13:30 UTC in summer, which is still the same day under the offset of winter, and 14:30 in
        # winter; midnight in Mumbai is not.
        mumbai = ZoneInfo("Asia/Kolkata")
        times = [seconds(2025, 6, 30, zone=mumbai), seconds(2025, 7, 1, zone=mumbai)]
        answer = chart(times, THREE_BARS[:2], zone="Asia/Kolkata", session=THURSDAY, meta={"gmtoffset": 0})
        assert sessions(answer) == [date(2025, 6, 30), date(2025, 7, 1)]

    def test_days_without_sessions_are_no_error(self) -> None:
        assert sessions(chart([], [], session=THURSDAY)) == []

    def test_what_yahoo_has_no_chart_of_has_nothing(self) -> None:
        with pytest.raises(NothingKnown):
            history({"chart": {"result": [], "error": None}})
        gone = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
        with pytest.raises(NothingKnown):
            history({"chart": {"result": None, "error": gone}})

    @pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc"])
    def test_days_in_no_zone_are_unreadable(self, zone: str) -> None:
        with pytest.raises(AnswerUnreadable):
            history(chart([opening(THREE_DAYS[0])], THREE_BARS[:1], zone=zone))

    def test_columns_of_other_lengths_are_unreadable(self) -> None:
        with pytest.raises(AnswerUnreadable):
            history(chart([opening(day) for day in THREE_DAYS], THREE_BARS[:2], session=THURSDAY))

    def test_bars_of_another_length_are_not_taken_for_days(self) -> None:
        times = [opening(day) for day in THREE_DAYS]
        assert len(sessions(chart(times, THREE_BARS, session=THURSDAY, meta={"dataGranularity": "1d"}))) == 3
        with pytest.raises(AnswerUnreadable):
            history(chart(times, THREE_BARS, session=THURSDAY, meta={"dataGranularity": "1mo"}))

    def test_missing_columns_are_gaps(self) -> None:
        answer = chart([opening(day) for day in THREE_DAYS], THREE_BARS, session=THURSDAY)
        answer["chart"]["result"][0]["indicators"] = {"quote": []}
        assert sessions(answer) == []


class TestEvents:
    def events(self) -> dict[str, Any]:
        first, second, third = (opening(day) for day in THREE_DAYS)
        return {
            "dividends": {str(at): {"amount": 0.25, "date": at} for at in (first, second, third)},
            "splits": {
                str(third): {"date": third, "numerator": 1.5, "denominator": 1.0, "splitRatio": "3:2"},
                str(second): {"date": second, "numerator": 10.0, "denominator": 1.0, "splitRatio": "10:1"},
                str(first): {"date": first, "numerator": 1.0, "denominator": 20.0, "splitRatio": "1:20"},
            },
        }

    def test_splits_reach_to_now_and_dividends_to_the_last_day(self) -> None:
        answer = chart([], [], session=THURSDAY, events=self.events())
        found = history(answer, first=THREE_DAYS[1], last=THREE_DAYS[1])
        assert found.dividends == [Dividend(THREE_DAYS[1], 0.25)]
        assert found.splits == [
            Split(APPLE.id, THREE_DAYS[1], new_units=10, old_units=1, source="yahoo"),
            Split(APPLE.id, THREE_DAYS[2], new_units=3, old_units=2, source="yahoo"),
        ]

    def test_a_consolidation_has_fewer_new_units(self) -> None:
        [first, *_] = history(chart([], [], session=THURSDAY, events=self.events())).splits
        assert (first.new_units, first.old_units) == (1, 20)

    @pytest.mark.parametrize(
        "events",
        [
            {"splits": {"1": {"date": 1768487400, "numerator": 0, "denominator": 1}}},
            {"splits": {"1": {"date": 1768487400, "numerator": 2}}},
            {"splits": {"1": {"numerator": 2, "denominator": 1}}},
            {"splits": {"1": None}},
            {"splits": []},
            {"dividends": {"1": {"date": 1768487400, "amount": None}}},
            None,
        ],
    )
    def test_events_that_cannot_be_read_are_passed_over(self, events: Any) -> None:
        found = history(chart([], [], session=THURSDAY, events=events))
        assert (found.splits, found.dividends) == ([], [])

    def test_all_dividends_are_newest_first(self) -> None:
        found = dividends_of(chart([], [], session=THURSDAY, events=self.events()))
        assert [each.ex_date for each in found] == THREE_DAYS[::-1]
        assert dividends_of(chart([], [], session=THURSDAY)) == []


class TestFives:
    OPENS, CLOSES = seconds(2025, 11, 28, 9, 30), seconds(2025, 11, 28, 13)

    def fives(self, times: Sequence[int], *, now: int | None = None, **more: Any) -> list[int]:
        answer = chart(times, [THREE_BARS[0]] * len(times), **more)
        day = date(2025, 11, 28)
        bars = intraday_bars_of(
            answer,
            APPLE,
            first=day,
            last=day,
            zone=NEW_YORK,
            now=datetime.fromtimestamp(now or seconds(2025, 11, 29), UTC),
        )
        return [int(each.begins_at.timestamp()) for each in bars]

    def periods(self) -> dict[str, Any]:
        period = {"timezone": "EST", "start": self.OPENS, "end": self.CLOSES, "gmtoffset": -18000}
        return {"tradingPeriods": [[period]]}

    def test_bars_are_those_of_the_session(self) -> None:
        times = [self.OPENS - 300, self.OPENS, self.CLOSES - 300, self.CLOSES, self.CLOSES + 300]
        assert self.fives(times, meta=self.periods()) == [self.OPENS, self.CLOSES - 300]
        by_part = {"tradingPeriods": {"pre": [], "regular": self.periods()["tradingPeriods"]}}
        assert self.fives(times, meta=by_part) == [self.OPENS, self.CLOSES - 300]
        flat = {"tradingPeriods": self.periods()["tradingPeriods"][0]}
        assert self.fives(times, meta=flat) == [self.OPENS, self.CLOSES - 300]

    def test_without_sessions_all_bars_count(self) -> None:
        assert len(self.fives([self.OPENS - 300, self.CLOSES + 300])) == 2

    def test_the_last_trade_and_a_running_bar_are_no_bars(self) -> None:
        now = self.OPENS + 599
        times = [self.OPENS, self.OPENS + 300, self.OPENS + 437]
        assert self.fives(times, now=now, meta=self.periods()) == [self.OPENS]
        assert len(self.fives(times, now=now + 1, meta=self.periods())) == 2

    def test_other_days_are_left_out(self) -> None:
        assert self.fives([self.OPENS - 86400, self.OPENS, self.OPENS + 86400]) == [self.OPENS]

    def test_pairs_have_no_volume(self) -> None:
        answer = chart([self.OPENS], THREE_BARS[:1])
        day = date(2025, 11, 28)
        bounds: dict[str, Any] = {"first": day, "last": day, "zone": NEW_YORK, "now": FRIDAY}
        assert intraday_bars_of(answer, EURO, **bounds)[0].volume is None
        assert intraday_bars_of(answer, APPLE, **bounds)[0].volume == 1000


class TestYields:
    def test_yields_of_a_day_stand_together(self) -> None:
        times = [opening(day) for day in THREE_DAYS]
        short = chart(times, [(None, None, None, each, 0) for each in (3.61, None, -0.05)], session=THURSDAY)
        long = chart(times, [(None, None, None, each, 0) for each in (4.1, 4.2, 4.3)], session=THURSDAY)
        rates = treasury_rates_of({"month3": short, "year10": long}, first=LONG_AGO, last=FAR_AHEAD, now=FRIDAY)
        assert rates == [
            TreasuryRates(THREE_DAYS[0], {"month3": 3.61, "year10": 4.1}),
            TreasuryRates(THREE_DAYS[1], {"year10": 4.2}),
            TreasuryRates(THREE_DAYS[2], {"month3": -0.05, "year10": 4.3}),
        ]

    def test_a_running_day_and_days_outside_are_left_out(self) -> None:
        times = [opening(day) for day in THREE_DAYS]
        answer = chart(times, THREE_BARS, session=THURSDAY)
        running = datetime(2026, 1, 15, 18, tzinfo=UTC)
        rates = treasury_rates_of({"year5": answer}, first=THREE_DAYS[1], last=THREE_DAYS[2], now=running)
        assert [each.on for each in rates] == [THREE_DAYS[1]]
