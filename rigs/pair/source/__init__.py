"""The service that publishes."""
