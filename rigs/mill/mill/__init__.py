"""The service that is flooded."""
