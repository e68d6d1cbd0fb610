"""What auth knows: accounts, credentials, sessions, keys and throttling, free of any transport or storage."""
