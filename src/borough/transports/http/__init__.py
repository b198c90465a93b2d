"""HTTP/1.1, the wire between processes and to the world: server, client, limits and messages."""
