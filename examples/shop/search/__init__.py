"""Finds what is for sale and holds the stock."""
