"""Kite's ticker: binary frames from its socket to batches of ticks on NATS."""
