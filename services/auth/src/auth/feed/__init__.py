"""What auth hears over NATS, and what it tells there that no outbox keeps."""
