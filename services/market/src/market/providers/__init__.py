"""Adapters to where prices and calendars come from; each fits the ports of the domain."""
