"""A small system for rigs whose calls cross a bad link."""
