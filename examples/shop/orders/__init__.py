"""Takes an order from basket to paid."""
