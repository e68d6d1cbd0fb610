"""What auth hears over NATS."""
