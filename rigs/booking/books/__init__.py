"""Books what was entered."""
