"""Prices over the brokers' server-wide sessions, asked of the brokers service."""
