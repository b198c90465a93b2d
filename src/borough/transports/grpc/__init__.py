"""How a call travels by gRPC: the protobuf of the contract, translated to its REST where it arrives."""
