"""Market's gRPC services: each method reads, calls and replies."""

PUBLIC_FOR_A_SECOND = (("cache-control", "public, max-age=1"),)
