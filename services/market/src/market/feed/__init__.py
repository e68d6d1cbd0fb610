"""Ticks out of a source and onto NATS."""
