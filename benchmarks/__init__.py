"""Measurements of Borough beside its peers: `python -m benchmarks [NAME ...] [--rounds N]`.

Every figure is a median over interleaved rounds: within a round all candidates take their turn, so
that a ratio compares neighbours in time. See docs/reference/benchmarks.md.
"""
