"""What a team writes against: services, handlers, the call at hand, and the data protocols."""
