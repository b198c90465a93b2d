"""The console's endpoints, one file for each area. Each has `endpoints(...)`, and `sources(...)` for what is live."""
