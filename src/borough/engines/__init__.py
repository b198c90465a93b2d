"""Database and broker servers of our own on this machine: for a laptop, the demo, tests and rigs.

Each engine is a real server with a private folder on a loopback port, started by who needs it and ended
with it. None is for production: there an operator runs them, and `borough.toml` says where they are.
"""
