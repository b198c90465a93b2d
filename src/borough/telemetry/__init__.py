"""How the system is seen: trace context and its propagation. Recording spans comes with the span sink."""
