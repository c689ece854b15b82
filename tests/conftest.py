"""What every test shares: warnings are errors (pyproject.toml), so nothing may be left open."""
