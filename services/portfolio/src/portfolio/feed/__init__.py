"""What other services tell over NATS and portfolio acts on."""
