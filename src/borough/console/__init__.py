"""The console at `/console`: one page about a running system, and the endpoints that feed it."""
