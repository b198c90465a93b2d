"""Charges a card once per order, and gives the money back."""
