"""How a call travels by gRPC: to contracts of ours by the protobuf that they are told as, and to servers elsewhere."""
