"""The system that is measured: three small services."""
