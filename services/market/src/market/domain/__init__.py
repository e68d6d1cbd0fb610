"""What market knows about instruments, prices, sessions and signals; free of transports, databases and vendors."""
