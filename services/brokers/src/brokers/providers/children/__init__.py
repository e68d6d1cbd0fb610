"""Vendor SDK calls, each in a child process of its own that dies with the credentials it was given."""
