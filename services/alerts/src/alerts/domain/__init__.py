"""What an alert is, when it fires and what is known to have been evaluated; it knows no transport and no storage."""
