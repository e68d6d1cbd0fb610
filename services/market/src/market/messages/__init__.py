"""The domain's values as the contract's messages, by topic."""

from market.messages.calendars import trading_days_message
from market.messages.corporate_actions import splits_message
from market.messages.instruments import instrument_message, listing_of
from market.messages.quotes import quotes_message
from market.messages.snapshot import snapshot_message

__all__ = [
    "instrument_message",
    "listing_of",
    "quotes_message",
    "snapshot_message",
    "splits_message",
    "trading_days_message",
]
