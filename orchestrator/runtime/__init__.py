"""Loops that take no decisions: they bring values to the cores and carry out what those decide."""
