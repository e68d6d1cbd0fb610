"""What clients send and get: one module a topic, named as its routes."""
