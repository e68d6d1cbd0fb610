"""The public REST and streaming API of Bourse."""
