"""Market as portfolio asks it: instruments, quotes, splits and sessions, turned into the domain's values."""
