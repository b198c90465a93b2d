"""How events travel between services: one adapter per broker behind the port."""
