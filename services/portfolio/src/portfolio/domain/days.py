"""Days in India, by which snapshots, splits and sessions are dated."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

INDIA = ZoneInfo("Asia/Kolkata")


def day_in_india(moment: datetime) -> date:
    """Return the date that it is in India at a moment."""
    return moment.astimezone(INDIA).date()
