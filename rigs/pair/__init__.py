"""A small system for rigs: a source that publishes, and a sink that hears, with ledgers to compare."""
