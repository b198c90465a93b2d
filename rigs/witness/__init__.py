"""A service that rigs put beside those of a system, to see what becomes of what they ask."""
