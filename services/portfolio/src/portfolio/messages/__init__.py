"""The contract's messages as the domain's values, and the other way round; what handlers read and answer."""
