"""The gRPC services of the contract: they read, call the domain and reply."""
