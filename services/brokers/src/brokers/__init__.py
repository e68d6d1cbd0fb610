"""Conversations with Zerodha and ICICI Direct; a user's credentials live in memory for one request and no longer."""
