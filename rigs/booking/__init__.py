"""A system of two services, small enough to say of each of its rows whether it must be there."""
