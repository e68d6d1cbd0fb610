"""When the venues trade: `exchange_calendars`, our dated corrections, and the round-the-clock week of currencies."""
