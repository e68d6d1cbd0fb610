"""Auth's gRPC services: each method reads, calls and replies."""
