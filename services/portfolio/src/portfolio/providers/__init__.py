"""Market as portfolio asks it: quotes, splits and sessions, turned into the domain's values."""
