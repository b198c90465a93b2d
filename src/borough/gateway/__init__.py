"""The edge and the internal door: who calls, may they, how often, and what else is served."""
