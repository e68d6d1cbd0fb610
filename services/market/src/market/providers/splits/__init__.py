"""Splits and bonus issues: an operator's file."""
