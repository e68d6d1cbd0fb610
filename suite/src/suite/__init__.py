"""Runs the whole of Bourse on one machine: NATS, the services and the gateway, with embedded defaults."""
