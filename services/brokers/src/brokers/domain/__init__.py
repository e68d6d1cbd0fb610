"""What brokers knows of sessions, syncs and quotes, without transports and vendors."""
