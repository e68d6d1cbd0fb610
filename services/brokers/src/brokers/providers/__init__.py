"""Adapters to the brokers and to the other services."""
