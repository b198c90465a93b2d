"""From a system and a topology to running processes."""
