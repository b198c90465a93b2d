"""The service that hears."""
