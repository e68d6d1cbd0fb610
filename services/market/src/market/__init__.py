"""Quotes, snapshot, signals and the tick feeds of Bourse."""
