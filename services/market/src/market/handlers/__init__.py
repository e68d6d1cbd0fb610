"""Market's gRPC services: each method reads, calls and replies."""

# Fresh for a second; refreshed behind the reader for five more; and while market fails, the last answer, which the
# gateway then marks stale, for a minute.
PUBLIC_PRICES = (("cache-control", "public, max-age=1, stale-while-revalidate=5, stale-if-error=60"),)
