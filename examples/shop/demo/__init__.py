"""Around the shop: its card issuer, its customers, and the ledgers that prove what happened."""
