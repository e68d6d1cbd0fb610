"""ICICI Direct, over Breeze."""
