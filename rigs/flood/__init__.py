"""A small system for the volume rig: a source that publishes as fast as it can, and a sink that counts."""
