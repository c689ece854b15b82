"""Decisions: pure functions of values, with no clock, chance, input or output of their own."""
