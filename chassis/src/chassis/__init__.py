"""The plumbing every Bourse process shares; it knows no business noun."""
