"""What auth needs from libraries: slow hashes, signatures, key files, counters of attempts."""
