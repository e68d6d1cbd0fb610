"""Loads the packages whose folder bears their name before pytest derives test modules' names from folders."""

import chassis
import gateway
import suite

__all__ = ["chassis", "gateway", "suite"]
