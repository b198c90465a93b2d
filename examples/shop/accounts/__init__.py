"""Knows who a customer is."""
