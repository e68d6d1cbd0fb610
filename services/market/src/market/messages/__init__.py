"""The domain's values as the contract's messages, by topic."""
