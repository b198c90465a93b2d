"""What Borough is measured against, each in its usual way."""
