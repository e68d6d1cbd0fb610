"""Portfolios: what a user holds, synced from brokers or entered by hand. It never sees a broker's credentials."""
