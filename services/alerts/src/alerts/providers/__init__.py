"""What alerts asks of other services."""
