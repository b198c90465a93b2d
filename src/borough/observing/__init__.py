"""How what is seen of a process leaves it, and where it is kept: batches, metrics, log lines, a bounded store."""
