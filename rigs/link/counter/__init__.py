"""The service that is called."""
