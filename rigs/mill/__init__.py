"""A small system for the rig that asks for more than it can do."""
