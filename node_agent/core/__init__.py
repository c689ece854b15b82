"""Decisions about pods on one node: values in, values out. No clock, chance, I/O or logging."""
