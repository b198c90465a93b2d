"""Tells customers by mail what has happened."""
