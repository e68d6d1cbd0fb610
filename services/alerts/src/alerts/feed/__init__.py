"""What alerts hears on NATS: the stream of ticks."""
