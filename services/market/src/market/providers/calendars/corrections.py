"""Dated facts that `exchange_calendars` lacks or has wrong; each entry wins over the library.

Times are the venue's own, as the exchanges' circulars gave them. Left to the library are days that one opening and one
closing time cannot describe (the split disaster-recovery sessions of 2024-03-02 and 2024-05-18), the short sessions
of some Saturdays from 2010 to 2014, and days whose hours were not announced when this was written (the Muhurat session
of 2026-11-08).
"""

from dataclasses import dataclass
from datetime import date, time

from market.domain.sessions import Venue

INDIA_OPENS = time(9, 15)
INDIA_CLOSES = time(15, 30)


@dataclass(frozen=True, slots=True)
class Correction:
    """One trading day that is not as the library says.

    Attributes:
        venue: where.
        date: when.
        opens: when trading begins; None for a day without trading.
        closes: when trading ends; None for a day without trading.
    """

    venue: Venue
    date: date
    opens: time | None
    closes: time | None


CORRECTIONS = (
    # The Union Budget was presented on a weekend: NSE and BSE traded their usual hours.
    Correction(Venue.INDIA, date(2015, 2, 28), INDIA_OPENS, INDIA_CLOSES),
    Correction(Venue.INDIA, date(2020, 2, 1), INDIA_OPENS, INDIA_CLOSES),
    Correction(Venue.INDIA, date(2025, 2, 1), INDIA_OPENS, INDIA_CLOSES),
    Correction(Venue.INDIA, date(2026, 2, 1), INDIA_OPENS, INDIA_CLOSES),
    # A full Saturday session in place of Monday 2024-01-22, a public holiday declared days before.
    Correction(Venue.INDIA, date(2024, 1, 20), INDIA_OPENS, INDIA_CLOSES),
    Correction(Venue.INDIA, date(2024, 1, 22), None, None),
    # Muhurat trading on Diwali: an hour or so on an otherwise closed day, mostly in the evening. The hours of 2010 and
    # 2013 are to a quarter of an hour: no announcement of the exchanges was at hand.
    Correction(Venue.INDIA, date(2010, 11, 5), time(18, 0), time(19, 0)),
    Correction(Venue.INDIA, date(2011, 10, 26), time(16, 45), time(18, 0)),
    Correction(Venue.INDIA, date(2012, 11, 13), time(15, 45), time(17, 0)),
    Correction(Venue.INDIA, date(2013, 11, 3), time(18, 15), time(19, 30)),
    Correction(Venue.INDIA, date(2014, 10, 23), time(18, 30), time(19, 30)),
    Correction(Venue.INDIA, date(2015, 11, 11), time(17, 45), time(18, 45)),
    Correction(Venue.INDIA, date(2016, 10, 30), time(18, 30), time(19, 30)),
    Correction(Venue.INDIA, date(2017, 10, 19), time(18, 30), time(19, 30)),
    Correction(Venue.INDIA, date(2018, 11, 7), time(17, 30), time(18, 30)),
    Correction(Venue.INDIA, date(2019, 10, 27), time(18, 15), time(19, 15)),
    Correction(Venue.INDIA, date(2020, 11, 14), time(18, 15), time(19, 15)),
    Correction(Venue.INDIA, date(2021, 11, 4), time(18, 15), time(19, 15)),
    Correction(Venue.INDIA, date(2022, 10, 24), time(18, 15), time(19, 15)),
    Correction(Venue.INDIA, date(2023, 11, 12), time(18, 15), time(19, 15)),
    Correction(Venue.INDIA, date(2024, 11, 1), time(18, 0), time(19, 0)),
    Correction(Venue.INDIA, date(2025, 10, 21), time(13, 45), time(14, 45)),
)
