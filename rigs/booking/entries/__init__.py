"""Takes entries."""
