"""What a service promises: frozen data, declared in code and held as descriptors."""
