"""How a call travels: local, http, grpc. One path, whatever the transport."""
